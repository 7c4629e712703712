// Models with a Unigram tokenizer: the module that knows them, and what they give.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openSite } from './support/browser.mjs';

const FIXTURES = fileURLToPath(new URL('../../tests/fixtures', import.meta.url));
const CASES = JSON.parse(readFileSync(`${FIXTURES}/unigram/tasks.json`, 'utf8'));

let site;
before(async () => {
  site = await openSite('none', { mounts: { '/fixtures': FIXTURES } });
});
after(() => site?.close());

/** Runs in the page: opens a head of the fixtures with the small tokenizer, or the default model, and gives what `texts` give. */
async function opened({ pipeline }, { task, head, calls, worker, module: given }) {
  const before = performance.getEntriesByType('resource').length;
  let model;
  if (head !== undefined) {
    model = [];
    for (const path of [
      `heads/${head}/config.json`,
      `heads/${head}/model.safetensors`,
      'small/tokenizer.json',
      'small/tokenizer_config.json',
    ]) {
      const bytes = await (await fetch(`/fixtures/unigram/${path}`)).arrayBuffer();
      model.push(new File([bytes], path.slice(path.lastIndexOf('/') + 1)));
    }
  }
  const module = given && (await WebAssembly.compileStreaming(fetch(`/dist/${given}`)));
  const run = await pipeline(task, model, { worker, module, device: 'wasm' });
  const results = [];
  for (const call of calls) {
    const result = await run(...call);
    results.push(ArrayBuffer.isView(result) ? [...result] : result);
  }
  await run.dispose();
  const fetched = performance
    .getEntriesByType('resource')
    .slice(before)
    .map(({ name }) => new URL(name).pathname);
  return { results, modules: fetched.filter((path) => path.endsWith('.wasm')) };
}

const near = (a, b) => Math.abs(a - b) < 1e-4;

for (const worker of [false, true]) {
  test(`answers and vectors are those of transformers, ${worker ? 'in a worker' : 'in the page'}`, async () => {
    const answers = CASES.filter(({ task, options }) => task === 'answer' && options.top_k === 3);
    const found = await site.run(opened, {
      task: 'question-answering',
      head: 'answer',
      worker,
      calls: answers.map(({ input }) => [input.question, input.context, { topK: 3 }]),
    });
    for (const [i, { result }] of answers.entries()) {
      assert.deepEqual(
        found.results[i].map(({ answer }) => answer),
        result.map(({ answer }) => answer),
      );
      assert.ok(found.results[i].every(({ score }, row) => near(score, result[row].score)));
    }
    const vectors = CASES.filter(({ task }) => task === 'embed');
    const embedded = await site.run(opened, {
      task: 'feature-extraction',
      head: 'embed',
      worker,
      calls: vectors.map(({ input }) => [input, { normalize: false }]),
    });
    for (const [i, { result }] of vectors.entries()) {
      assert.equal(embedded.results[i].length, result.length);
      assert.ok(
        embedded.results[i].every((value, at) => near(value, result[at])),
        vectors[i].input,
      );
    }
    assert.deepEqual(site.problems, []);
  });
}

test('a lone surrogate counts as U+FFFD, and a long text without spaces is no trouble', async () => {
  const long = '这座石桥建于一六〇五年'.repeat(20_000);
  const calls = ['a \ud800 b', 'a \ufffd b', long, `${long}!`].map((text) => [text, { normalize: false }]);
  const { results } = await site.run(opened, { task: 'feature-extraction', head: 'embed', worker: false, calls });
  assert.deepEqual(results[0], results[1]);
  assert.deepEqual(results[2], results[3], 'both are cut to what the model takes');
});

test('only a model that needs it loads the larger module', async () => {
  const question = [['Who waited?', 'The clerk waited at the door.']];
  const plain = await site.run(opened, { task: 'question-answering', calls: question, worker: false });
  assert.ok(!plain.modules.some((path) => path.includes('unigram')), plain.modules.join());
  const texts = { task: 'feature-extraction', head: 'embed', calls: [['The clerk']], worker: false };
  const given = await site.run(opened, { ...texts, module: 'unigram/wasm/cloze_bg.wasm' });
  const found = await site.run(opened, texts);
  assert.deepEqual(given.results, found.results);
  await assert.rejects(site.run(opened, { ...texts, module: 'wasm/cloze_bg.wasm' }), /cloze\/unigram\.wasm/);
});
