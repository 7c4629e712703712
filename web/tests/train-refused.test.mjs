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
      outcomes.push(await call().then(() => ({}), ({ code, message }) => ({ code, message })));
    }
    return outcomes;
  }, `${site.server.url}/fixtures/tasks/moods/`);
  alike(found, [
    ['option', "no training for 'next-sentence'"],
    ['option', 'has no model for text-classification'],
    ['option', "no method 'prefix'"],
    ['option', 'loraR'],
    ['option', 'loraAlpha'],
    ['option', 'loraDropout'],
    ['option', 'q_proj'],
    ['option', 'freezeLayers'],
    ['option', "no problem type 'ranking'"],
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
    ];
    const outcomes = [];
    for (const call of calls) {
      outcomes.push(await call().then(() => ({}), ({ code, message }) => ({ code, message })));
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
    ['input', 'does not say what is right'],
    ['input', 'no class 3'],
    ['input', 'no class -1'],
    ['input', 'no class 0.5'],
    ['data', 'awful'],
    ['data', 'a list of classes'],
    ['input', 'a sequence has 0 ids'],
    ['input', '2 ids and 1 types'],
    ['input', 'type'],
    ['input', '8589934592'],
    ['option', 'signal'],
    ['input', 'null'],
    ['diverged', 'norm of the gradients'],
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
  assert.deepEqual(found.map(({ columns }) => columns), [1, 2]);
  assert.ok(found.flatMap(({ losses }) => losses).every((loss) => loss > 0), JSON.stringify(found));
});

test('questions and words that are not to be learnt from', async () => {
  const found = await site.run(async (_, url) => {
    const { train } = await import('/dist/train/index.js');
    const load = { device: 'wasm', cache: false, model: url };
    const outcomes = [];
    const refused = async (trainer, given) => {
      const call = trainer.step(given, { rate: 1 });
      outcomes.push(await call.then(() => ({}), ({ code, message }) => ({ code, message })));
    };
    const asked = await train('question-answering', load);
    const context = 'the movie was great';
    for (const answer of [{ text: 'film', start: 4 }, { text: 'movie', start: 5 }, { text: 'movie' }, { start: 4 }]) {
      await refused(asked, [{ question: 'what', context, answer }]);
    }
    await refused(asked, [{ question: 'what', context: 5 }]);
    await refused(asked, [{ ids: [2, 5, 3], span: [1] }]);
    await asked.dispose();
    const tagged = await train('token-classification', { ...load, labels: ['O', 'B-X'] });
    await refused(tagged, [{ words: ['the', 'movie'], tags: ['O'] }]);
    await refused(tagged, [{ words: ['the', 'movie'], tags: ['O', 'B-Y'] }]);
    await refused(tagged, [{ words: 'the movie', tags: [] }]);
    await refused(tagged, [{ ids: [2, 5, 3], tags: [null, 9, null] }]);
    await tagged.dispose();
    const masked = await train('fill-mask', load);
    await refused(masked, ['']);
    await refused(masked, [{ ids: [2, 5, 3], masked: [[7, 5]] }]);
    await refused(masked, [{ ids: [2, 5, 3], masked: [[1, 1e6]] }]);
    outcomes.push(await masked.predict(['no mask']).then(() => ({}), ({ code, message }) => ({ code, message })));
    await masked.dispose();
    return outcomes;
  }, `${site.server.url}/fixtures/tasks/moods/`);
  alike(found, [
    ['input', 'does not have the answer at 4'],
    ['input', 'does not have the answer at 5'],
    ['input', 'an answer has no start'],
    ['input', "answer's text"],
    ['input', 'context'],
    ['input', 'an array of length 2'],
    ['input', '2 words and 1 tags'],
    ['data', 'B-Y'],
    ['input', 'words or tags'],
    ['input', 'label 9'],
    ['input', 'nothing to learn from'],
    ['input', 'outside its sequence'],
    ['input', 'label 1000000'],
    ['input', 'no mask'],
  ]);
});
