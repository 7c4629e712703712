// Rankings of the package: the scores of sentence-transformers' CrossEncoder, by the fixture that the native tests read.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openSite } from './support/browser.mjs';
import { alike, FIXTURES, read } from './support/expected.mjs';

/** In the page: each case on its model, with other keys in config.json and other files beside it. */
async function rank({ pipeline }, { cases, device }) {
  const found = [];
  for (const { model, config, files, query, texts, prompt } of cases) {
    const fetched = async (name) => {
      const response = await fetch(`/fixtures/tasks/${model}/${name}`);
      return response.ok ? new Uint8Array(await response.arrayBuffer()) : undefined;
    };
    const give = async (name) => {
      const json = (value) => new TextEncoder().encode(JSON.stringify(value));
      if (Object.hasOwn(files, name)) return json(files[name]);
      const bytes = await fetched(name);
      if (name !== 'config.json') return bytes;
      const merged = { ...JSON.parse(new TextDecoder().decode(bytes)), ...config };
      return json(Object.fromEntries(Object.entries(merged).filter(([, value]) => value !== null)));
    };
    try {
      const run = await pipeline('text-ranking', { model: give, device, worker: false });
      if (run.device !== device) throw new Error(`it ran on ${run.device}`);
      const all = await run(query, texts, { ...(prompt !== undefined && { prompt }) });
      const [first, second] = await run(
        [
          { query, texts },
          { query, documents: [...texts].reverse() },
        ],
        { topK: 2, prompt },
      );
      found.push({ all, first, second: second.map(({ text, score }) => ({ text, score })) });
      await run.dispose();
    } catch ({ code, message }) {
      found.push({ code, message });
    }
  }
  return found;
}

const isAsked = (problem) => !/status of 404/.test(problem);

for (const [kind, device] of [
  ['none', 'wasm'],
  ['webgpu', 'webgpu'],
]) {
  test(`rankings are those of sentence-transformers on ${device}`, async () => {
    const cases = read('rank.json').filter((_, i) => device === 'wasm' || [1, 26].includes(i));
    assert.ok(cases.length >= (device === 'wasm' ? 39 : 2));
    const site = await openSite(kind, { mounts: { '/fixtures': FIXTURES } });
    try {
      const found = await site.run(rank, { cases, device });
      for (const [i, { model, config, files, texts, result }] of cases.entries()) {
        const what = `${i} ${model} ${JSON.stringify(config)} ${JSON.stringify(files)}`;
        const { all, first, second, code, message } = found[i];
        if (result.raises) {
          assert.match(String(code), /^(unsupported|config)$/, `${what}: ${message}`);
          continue;
        }
        assert.equal(message, undefined, what);
        alike(
          all,
          result.map(({ corpus_id: index, score }) => ({ index, score, text: texts[index] })),
          what,
        );
        assert.deepEqual(first, all.slice(0, 2), what);
        // The same scores in another order and batch; where two are equal either text may come first.
        assert.deepEqual(
          second.map(({ score }) => score),
          first.map(({ score }) => score),
          what,
        );
      }
      assert.deepEqual(site.problems.filter(isAsked), []);
    } finally {
      await site.close();
    }
  });
}

test('what cannot be ranked is refused, and thousands of texts are not', async () => {
  const site = await openSite('none', { mounts: { '/fixtures': FIXTURES } });
  try {
    const found = await site.run(async ({ pipeline }) => {
      const run = await pipeline('text-ranking', { model: '/fixtures/tasks/one/', cache: false });
      const refused = [];
      const calls = [
        ['query'],
        ['query', 'text'],
        ['query', [1]],
        ['query', ['a'], { topK: 0 }],
        ['query', ['a'], { topk: 1 }],
        [{ query: 'a' }],
        [null],
        [[{ query: 'a', texts: ['b'] }, 'c']],
        ['query', ['a'], { prompt: 'absent' }],
      ];
      for (const call of calls)
        refused.push(
          await run(...call).then(
            () => 'none',
            ({ code }) => code,
          ),
        );
      const texts = Array.from({ length: 2000 }, (_, i) => `the ${['cat', 'dog', 'river'][i % 3]} and ada ${i % 7}`);
      const many = await run('Who wrote it?', texts);
      const empty = await run('', []);
      const odd = await run('\ud83d', ['\udc00', '']);
      await run.dispose();
      const several = await pipeline('text-ranking', { model: '/fixtures/tasks/moods/', cache: false }).catch(
        ({ code, message }) => [code, message],
      );
      return {
        refused,
        length: many.length,
        scores: many.map(({ score }) => score),
        same: many.every(({ index, text }) => text === texts[index]),
        empty,
        odd,
        several,
      };
    });
    assert.deepEqual(found.refused, [
      'input',
      'input',
      'input',
      'option',
      'option',
      'input',
      'input',
      'input',
      'option',
    ]);
    assert.ok(
      found.length === 2000 && found.same && found.scores.every((score, i, all) => i === 0 || score <= all[i - 1]),
    );
    assert.deepEqual(found.empty, []);
    assert.equal(found.odd.length, 2);
    assert.ok(found.several[0] === 'unsupported' && /3 labels/.test(found.several[1]), String(found.several));
  } finally {
    await site.close();
  }
});
