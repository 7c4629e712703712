// What training in the page refuses: by a code, in words that name the thing, and with the model as it was.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openSite } from './support/browser.mjs';
import { FIXTURES } from './support/expected.mjs';

let site;
before(async () => {
  site = await openSite('none', { mounts: { '/fixtures': FIXTURES } });
});
after(() => site?.close());

/** What each of the calls was refused by. */
function alike(found, expected) {
  for (const [i, [code, part]] of expected.entries()) {
    const { code: was, message } = found[i] ?? {};
    assert.ok(was === code && message.includes(part), `${i}: ${code}, ${part}: ${was}, ${message}`);
  }
  assert.equal(found.length, expected.length);
}

test('models and options', async () => {
  const found = await site.run(async (_, url) => {
    const { train } = await import('/dist/train/index.js');
    const moods = (more) => train('text-classification', { device: 'wasm', cache: false, model: url, ...more });
    const calls = [
      () => train('next-sentence', { model: url }),
      () => train('text-classification'),
      () => moods({ method: 'prefix' }),
      () => moods({ method: 'lora', loraR: 0 }),
      () => moods({ method: 'lora', loraAlpha: 0 }),
      () => moods({ method: 'lora', loraDropout: 1 }),
      () => moods({ method: 'lora', loraTargets: ['q_proj'] }),
      () => moods({ loraAlpha: 8 }),
      () => moods({ method: 'lora', freezeLayers: 2 }),
      () => moods({ docStride: 8 }),
      () => moods({ labels: ['good'] }),
      () => moods({ labels: ['a', '\ud800', '\ufffd'] }),
      () => moods({ seed: 2 ** 31 }),
      () => train('fill-mask', url, { device: 'wasm', cache: false, labels: ['a', 'b'] }),
      () => train('token-classification', url, { device: 'wasm', cache: false, problemType: 'regression' }),
      () => moods({ freezeLayers: 3 }),
      () => moods({ problemType: 'ranking' }),
      () => moods({ labels: [] }),
      () => moods({ labels: ['a', 'a'] }),
      () => moods({ seed: -1 }),
      () => moods({ beta1: 1 }),
      () => moods({ epsilon: 0 }),
      () => moods({ maxSeqLen: 1 }),
      () => moods({ epochs: 3 }),
      () => moods({ module: {} }),
      () => moods({ worker: () => ({}) }),
      () => train('question-answering', { device: 'wasm', cache: false, model: url, docStride: 10_000 }),
    ];
    const outcomes = [];
    for (const call of calls) {
      outcomes.push(
        await call().then(
          () => ({}),
          ({ code, message }) => ({ code, message }),
        ),
      );
    }
    return outcomes;
  }, `${site.server.url}/fixtures/tasks/moods/`);
  alike(found, [
    ['option', "no training for 'next-sentence'"],
    ['option', 'model: there is none'],
    ['option', "unknown method 'prefix'"],
    ['option', 'loraR'],
    ['option', 'loraAlpha'],
    ['option', 'loraDropout'],
    ['option', 'q_proj'],
    ['option', 'loraAlpha: the method is full, which has no adapters'],
    ['option', 'freezeLayers: no layer is left for adapters'],
    ['option', 'docStride: the task has no use for it'],
    ['option', 'labels: one alone tells nothing apart'],
    ['option', "labels: '\ufffd' is there twice"],
    ['option', 'seed: it is not a whole number from 0 to 2147483647'],
    ['option', 'labels: the task has no use for it'],
    ['option', 'problemType: the task has no use for it'],
    ['option', 'freezeLayers'],
    ['option', "unknown problem type 'ranking'"],
    ['option', 'labels'],
    ['option', 'labels'],
    ['option', 'seed'],
    ['option', 'beta1'],
    ['option', 'epsilon'],
    ['option', 'maxSeqLen'],
    ['option', 'has no such option'],
    ['option', 'cloze/train.wasm'],
    ['option', 'cloze/train/worker'],
    ['option', 'docStride'],
  ]);
});

test('examples and rates, after which it goes on', async () => {
  const found = await site.run(async (_, url) => {
    const { train } = await import('/dist/train/index.js');
    const load = { device: 'wasm', cache: false, model: url, dropout: false };
    const trainer = await train('text-classification', load);
    const good = [{ text: 'the movie was great', label: 2 }];
    const says = async () => (await trainer.predict(['the movie was great'])).map(({ values }) => [...values]);
    const first = await says();
    const calls = [
      () => trainer.step(good),
      () => trainer.step(good, { rate: NaN }),
      () => trainer.step(good, { rate: -1 }),
      () => trainer.step(good, { rate: 1e300 }),
      () => trainer.step(good, { rate: 1, share: Infinity }),
      () => trainer.step([], { rate: 1 }),
      () => trainer.step(undefined, { rate: 1 }),
      () => trainer.step([{ label: 1 }], { rate: 1 }),
      () => trainer.step(['no label'], { rate: 1 }),
      () => trainer.step([{ text: 'a film', label: 3 }], { rate: 1 }),
      () => trainer.step([{ text: 'a film', label: -1 }], { rate: 1 }),
      () => trainer.step([{ text: 'a film', label: 0.5 }], { rate: 1 }),
      () => trainer.step([{ text: 'a film', label: 'awful' }], { rate: 1 }),
      () => trainer.step([{ text: 'a film', label: ['good', 'bad'] }], { rate: 1 }),
      () => trainer.step([{ ids: [], label: 0 }], { rate: 1 }),
      () => trainer.step([{ ids: [1, 2], types: [0], label: 0 }], { rate: 1 }),
      () => trainer.step([{ ids: [1, 2], types: [0, 7], label: 0 }], { rate: 1 }),
      () => trainer.step([{ ids: [2 ** 33], label: 0 }], { rate: 1 }),
      () => trainer.step(good, { rate: 1, signal: 'stop' }),
      () => trainer.predict([null]),
      () => trainer.step(good, { rate: 1, share: 1e30 }),
      () => trainer.step(good, { rate: 1, share: 0 }),
      () => trainer.step(good, { rate: 1, share: 1e-300 }),
      () => trainer.step([...good, { text: 'a film', label: NaN }], { rate: 1 }),
      () => trainer.step([...good, { text: 'a film', label: 'awful' }], { rate: 1 }),
      () => trainer.update({ rate: 1 }),
    ];
    const outcomes = [];
    for (const call of calls) {
      outcomes.push(
        await call().then(
          () => ({}),
          ({ code, message }) => ({ code, message }),
        ),
      );
    }
    const after = await says();
    const { loss } = await trainer.step(good, { rate: 1e-3 });
    const { loss: next } = await trainer.step(good, { rate: 1e-3 });
    await trainer.dispose();
    const gone = await trainer.step(good, { rate: 1e-3 }).catch(({ code, message }) => ({ code, message }));
    return { outcomes, first, after, loss, next, gone };
  }, `${site.server.url}/fixtures/tasks/moods/`);
  alike(found.outcomes, [
    ['option', 'rate: there is none'],
    ['option', 'rate'],
    ['option', 'rate'],
    ['option', 'rate'],
    ['option', 'share'],
    ['input', 'nothing to learn from'],
    ['input', 'not a string'],
    ['input', 'not a string'],
    ['input', 'the expected result is missing'],
    ['input', 'no class 3'],
    ['input', 'no class -1'],
    ['input', 'no class 0.5'],
    ['data', 'awful'],
    ['data', 'a list of classes'],
    ['input', 'it has 0 ids'],
    ['input', '2 ids and 1 types'],
    ['input', 'type'],
    ['input', 'ids'],
    ['option', 'signal'],
    ['input', 'null'],
    ['diverged', 'norm of the gradients'],
    ['option', 'share'],
    ['option', 'share'],
    ['input', 'examples[1]: label is not what it should be'],
    ['data', 'examples[1]: the label "awful" does not occur in the training data'],
    ['input', 'there are no gradients'],
  ]);
  assert.deepEqual(found.after, found.first);
  assert.ok(found.next < found.loss, `${found.next} after ${found.loss}`);
  assert.equal(found.gone.code, 'cancelled');
});

test('values, and several labels by name or number', async () => {
  const found = await site.run(async (_, url) => {
    const { train } = await import('/dist/train/index.js');
    const load = { device: 'wasm', cache: false, model: url };
    const steps = async (options, labels) => {
      const trainer = await train('text-classification', { ...load, ...options });
      const losses = [];
      for (const label of labels) {
        losses.push((await trainer.step([{ text: 'the movie was great', label }], { rate: 1e-3 })).loss);
      }
      const [{ columns }] = await trainer.predict(['the movie was great']);
      await trainer.dispose();
      return { losses, columns };
    };
    return [
      await steps({ problemType: 'regression' }, [0.5, 2]),
      await steps({ problemType: 'multi_label_classification', labels: ['a', 'b'] }, [1, 'b', ['a', 'b'], []]),
    ];
  }, `${site.server.url}/fixtures/tasks/moods/`);
  assert.deepEqual(
    found.map(({ columns }) => columns),
    [1, 2],
  );
  assert.ok(
    found.flatMap(({ losses }) => losses).every((loss) => loss > 0),
    JSON.stringify(found),
  );
});

test('questions and words that are not to be learnt from', async () => {
  const found = await site.run(async (_, url) => {
    const { train } = await import('/dist/train/index.js');
    const load = { device: 'wasm', cache: false, model: url };
    const outcomes = [];
    const refused = async (trainer, given) => {
      const call = trainer.step(given, { rate: 1 });
      outcomes.push(
        await call.then(
          () => ({}),
          ({ code, message }) => ({ code, message }),
        ),
      );
    };
    const asked = await train('question-answering', load);
    const context = 'the movie was great';
    for (const answer of [{ text: 'film', start: 4 }, { text: 'movie', start: 5 }, { text: 'movie' }, { start: 4 }]) {
      await refused(asked, [{ question: 'what', context, answer }]);
    }
    await refused(asked, [{ question: 'what', context: 5 }]);
    await refused(asked, [{ ids: [2, 5, 3], span: [1] }]);
    for (const span of [
      [1, 3],
      [2, 1],
      [2 ** 31, 2 ** 31],
    ])
      await refused(asked, [{ ids: [2, 5, 3], span }]);
    // As SQuAD has it: to learn from it would be to learn that there is no answer.
    await refused(asked, [{ question: 'what', context, answers: { text: ['movie'], answer_start: [4] } }]);
    await asked.dispose();
    const tagged = await train('token-classification', { ...load, labels: ['O', 'B-X'] });
    await refused(tagged, [{ words: ['the', 'movie'], tags: ['O'] }]);
    await refused(tagged, [{ words: ['the', 'movie'], tags: ['O', 'B-Y'] }]);
    await refused(tagged, [{ words: 'the movie', tags: [] }]);
    await refused(tagged, [{ ids: [2, 5, 3], tags: [null, 9, null] }]);
    await refused(tagged, [{ ids: [2, 5, 3], tags: [-100, 1, -100] }]);
    await refused(tagged, [{ ids: [2, 5, 3], tags: [null, null, null] }]);
    await refused(tagged, [{ words: ['\u200b'], tags: ['O'] }]);
    await tagged.dispose();
    const masked = await train('fill-mask', load);
    await refused(masked, ['']);
    await refused(masked, [{ ids: [2, 5, 3], masked: [[7, 5]] }]);
    await refused(masked, [{ ids: [2, 5, 3], masked: [[1, 1e6]] }]);
    for (const asked of ['no mask', 'the movie [MASK] '.repeat(50), { ids: [2, 5, 3] }]) {
      outcomes.push(
        await masked.predict([asked]).then(
          () => ({}),
          ({ code, message }) => ({ code, message }),
        ),
      );
    }
    await masked.dispose();
    return outcomes;
  }, `${site.server.url}/fixtures/tasks/moods/`);
  alike(found, [
    ['input', 'does not have the answer at 4'],
    ['input', 'does not have the answer at 5'],
    ['input', 'examples[0]: its answer has no start'],
    ['input', "answer's text"],
    ['input', 'context'],
    ['input', "span is not what it should be. Give two tokens' numbers"],
    ['input', 'outside its sequence'],
    ['input', 'outside its sequence'],
    ['input', 'outside its sequence'],
    ['input', 'does not say its answer. Give it, or null'],
    ['input', '2 words and 1 tags'],
    ['data', 'B-Y'],
    ['input', 'words or tags'],
    ['input', 'label 9'],
    ['input', 'null where none is asked for'],
    ['input', 'nothing to learn from'],
    ['input', 'nothing to learn from'],
    ['input', 'nothing to learn from'],
    ['input', 'outside its sequence'],
    ['input', 'label 1000000'],
    ['input', 'no mask'],
    ['input', 'more than the 18 tokens that the model takes'],
    ['input', 'masked is not what it should be'],
  ]);
});

test('what fails in its turn takes the gradients of its step with it, and no others', async () => {
  const found = await site.run(async (_, url) => {
    const { train } = await import('/dist/train/index.js');
    const outcomes = {};
    for (const worker of [true, false]) {
      const trainer = await train('text-classification', url, { device: 'wasm', cache: false, dropout: false, worker });
      const [first, second] = [
        { text: 'the movie was great', label: 2 },
        { text: 'a terrible film', label: 0 },
      ];
      const unknown = { text: 'a film', label: 'awful' };
      const said = (calls) =>
        Promise.all(
          calls.map((call) =>
            call.then(
              ({ loss, gradientNorm }) => (gradientNorm === undefined ? loss : `norm ${gradientNorm}`),
              ({ name, code }) => (name === 'AbortError' ? name : code),
            ),
          ),
        );
      const alone = await said([trainer.accumulate(second), trainer.update({ rate: 0 })]);
      const stop = new AbortController();
      // So much that the next one waits.
      const many = Array(300).fill(first);
      const aborted = said([
        trainer.accumulate(many),
        trainer.accumulate(second, { signal: stop.signal }),
        trainer.accumulate(second),
        trainer.update({ rate: 0 }),
      ]);
      stop.abort();
      outcomes[worker ? 'worker' : 'page'] = {
        alone,
        aborted: await aborted,
        // Refused by the model, by the package, before its turn.
        unknown: await said([
          trainer.accumulate(first),
          trainer.accumulate(unknown),
          trainer.accumulate(second),
          trainer.update({ rate: 0 }),
        ]),
        wrong: await said([
          trainer.accumulate(first),
          trainer.accumulate({ label: 2 }),
          trainer.accumulate(second),
          trainer.update({ rate: 0 }),
        ]),
        early: await said([
          trainer.accumulate(first),
          trainer.step(second, { rate: 0, signal: AbortSignal.abort() }),
          trainer.accumulate(second),
          trainer.update({ rate: 0 }),
        ]),
        none: await said([trainer.accumulate(first), trainer.accumulate(unknown), trainer.update({ rate: 0 })]),
      };
      await trainer.dispose();
    }
    return outcomes;
  }, `${site.server.url}/fixtures/tasks/moods/`);
  for (const { alone, aborted, unknown, wrong, early, none } of Object.values(found)) {
    const [loss, norm] = alone;
    assert.match(norm, /^norm 0*[1-9.]/);
    const [first] = unknown;
    assert.deepEqual(aborted.slice(1), ['AbortError', loss, norm]);
    assert.deepEqual(unknown, [first, 'data', loss, norm]);
    assert.deepEqual(wrong, [first, 'input', loss, norm]);
    assert.deepEqual(early, [first, 'AbortError', loss, norm]);
    assert.deepEqual(none, [first, 'data', 'input']);
  }
});

test('words without a token, or too many, have no values', async () => {
  const rows = await site.run(async (_, url) => {
    const { train } = await import('/dist/train/index.js');
    const trainer = await train('token-classification', url, { device: 'wasm', cache: false, labels: ['O', 'B-X'] });
    const words = ['the', '\u200b', 'movie', ...Array(60).fill('film')];
    const [{ values, columns }] = await trainer.predict({ words });
    await trainer.dispose();
    return Array.from({ length: values.length / columns }, (_, row) => Number.isNaN(values[row * columns]));
  }, `${site.server.url}/fixtures/tasks/moods/`);
  // Of 20 tokens two are special.
  assert.deepEqual(rows, [false, true, ...Array(17).fill(false), ...Array(44).fill(true)]);
});

test('a batch that there is no memory for is refused, and the next one is not', async () => {
  const found = await site.run(async () => {
    const { train } = await import('/dist/train/index.js');
    const outcomes = [];
    for (const worker of [true, false]) {
      const trainer = await train('text-classification', '/dist/model/', {
        device: 'wasm',
        labels: ['a', 'b'],
        worker,
      });
      const long = { text: 'the movie was great and long '.repeat(200), label: 'a' };
      const large = await trainer
        .step(Array(300).fill(long), { rate: 1e-5 })
        .catch(({ code, message }) => `${code} ${message}`);
      const { loss } = await trainer.step({ text: 'a film', label: 'b' }, { rate: 1e-5 });
      await trainer.dispose();
      outcomes.push([large, loss]);
    }
    return outcomes;
  });
  for (const [large, loss] of found) {
    assert.match(large, /^memory a batch of \d+ tokens needs \d{11} bytes.* set checkpointActivations$/);
    assert.ok(loss > 0);
  }
});
