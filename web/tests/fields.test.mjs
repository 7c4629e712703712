// The names that an input's fields have, and the names of classes: in Node, where nothing but the package is at work.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { pipeline } from '../dist/index.js';

/** A pipeline on a test model, with what `change` makes of its configuration. */
async function open(task, name, change = (config) => config) {
  const dir = new URL(`../../tests/fixtures/tasks/${name}/`, import.meta.url);
  const model = async (path) => {
    const bytes = await readFile(new URL(path, dir)).catch(() => undefined);
    if (path !== 'config.json' || !bytes) return bytes && new Uint8Array(bytes);
    return new TextEncoder().encode(JSON.stringify(change(JSON.parse(bytes.toString()))));
  };
  return pipeline(task, { model, device: 'wasm' });
}

const failing = (call) =>
  call.then(
    () => assert.fail('no error'),
    (error) => error,
  );

test('the names of transformers and of data sets are known', async () => {
  const classify = await open('text-classification', 'nli');
  const [text, pair] = ['it was great', 'she was happy'];
  const known = await classify({ text, pair });
  for (const [first, second] of [
    ['text', 'text_pair'],
    ['sentence1', 'sentence2'],
    ['premise', 'hypothesis'],
    ['question1', 'question2'],
    ['inputs', 'pair'],
    ['question', 'sentence'],
    ['question', 'context'],
  ]) {
    assert.deepEqual(
      await classify({ [second]: pair, [first]: text, label: 3, title: 'free' }),
      known,
      `${first} ${second}`,
    );
  }
  for (const [input, words] of [
    [{ text, text_b: pair }, /'text_b' is not a known field.*'text_pair'/],
    [{ text, Pair: pair }, /'Pair' is not a known field.*'pair'/],
    [{ text, context: pair }, /'context' is a field that this task does not use/],
    [{ text, prompt: 'query: ' }, /'prompt' is an option, not a field/],
    [{ text, sentence: pair }, /'text' and 'sentence' are two names for the same field/],
  ]) {
    const error = await failing(classify(input));
    assert.equal(error.code, 'input');
    assert.match(error.message, words);
  }
  assert.deepEqual(await classify({ text, pair: null, texts: undefined }), await classify(text));
  await classify.dispose();

  const tag = await open('token-classification', 'places');
  assert.deepEqual(
    await tag([{ text: 'ada lived' }, { sentence: 'ada lived' }]),
    await tag(['ada lived', 'ada lived']),
  );
  assert.match((await failing(tag({ text: 'a', pair: 'b' }))).message, /'pair' is a field that this task does not use/);
  await tag.dispose();

  const answer = await pipeline('question-answering', { device: 'wasm' });
  const asked = { question: 'Where is Ada?', context: 'Ada lives in Rome.' };
  assert.deepEqual(await answer({ ...asked, id: 1, answers: [] }), await answer(asked.question, asked.context));
  assert.match(
    (await failing(answer({ ...asked, contxet: 'x' }))).message,
    /'contxet' is not a known field.*'context'/,
  );
  assert.match(
    (await failing(answer({ ...asked, text: 'x' }))).message,
    /'text' is a field that this task does not use/,
  );
  await answer.dispose();
});

test('names of classes may be numbers, and belong to all outputs', async () => {
  const labelled = (id2label) => open('text-classification', 'moods', (config) => ({ ...config, id2label }));
  const numbers = await labelled({ 0: 0, 1: 1.5, 2: null });
  const found = (await numbers('she was happy')).map(({ label }) => label);
  assert.deepEqual(found.sort(), ['0', '1.5', 'LABEL_2']);
  await numbers.dispose();
  const error = await failing(labelled({ 1: 'bad', 2: 'so-so', 3: 'good' }));
  assert.equal(error.code, 'config');
  assert.match(error.message, /id2label has 1 where 0 belongs/);
});
