// Vectors compared and searched, by plain JavaScript: no browser is needed.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClozeError, cosine, dot, rows, search, similarity } from '../dist/index.js';

const vector = (...numbers) => Float32Array.from(numbers);
const near = (found, expected) => {
  assert.equal(found.length, expected.length);
  expected.forEach((value, i) =>
    assert.ok(Object.is(found[i], value) || Math.abs(found[i] - value) < 1e-6, `${found}, not ${expected}`),
  );
};
const refused = (call, code) => assert.throws(call, (error) => error instanceof ClozeError && error.code === code);

test('two vectors have a product and an angle', () => {
  assert.equal(dot(vector(1, 2), vector(3, -4)), -5);
  near(
    [cosine(vector(1, 0), [1, 1]), cosine([0, 0], [1, 1]), cosine(vector(2, 0), vector(-3, 0))],
    [Math.SQRT1_2, 0, -1],
  );
  assert.ok(Number.isNaN(cosine([NaN, 1], [1, 1])));
  // Sums are not rounded to f32 on the way.
  assert.equal(dot(vector(1e8, 1, -1e8), vector(1, 1, 1)), 1);
  refused(() => dot(vector(1), vector(1, 2)), 'input');
  refused(() => cosine([1], []), 'input');
});

test('a matrix of similarities has a row for each of the first vectors', () => {
  const [a, b] = [
    [vector(1, 0), vector(3, 4)],
    [vector(0, 2), vector(1, 0), vector(3, 4)],
  ];
  const found = similarity(a, b);
  assert.ok(found instanceof Float32Array);
  near(found, [0, 1, 0.6, 0.8, 0.6, 1]);
  near(similarity(a, b, 'dot'), [0, 1, 3, 8, 3, 25]);
  near(similarity(rows(vector(1, 0, 3, 4), 2), b), found);
  const [first] = rows(found, 3);
  assert.equal(first.buffer, found.buffer, 'rows are views');
  assert.equal(similarity([], b).length, 0);
  assert.deepEqual(rows(vector(), 3), []);
  for (const width of [3, 0, -2, 1.5]) refused(() => rows(vector(1, 2, 3, 4), width), 'input');
  refused(() => similarity(a, [vector(1)]), 'input');
  // As sentence-transformers' `similarity`, which gives distances a minus sign.
  near(similarity(a, b, 'euclidean'), [-Math.sqrt(5), 0, -Math.sqrt(20), -Math.sqrt(13), -Math.sqrt(20), 0]);
  near(similarity(a, b, 'manhattan'), [-3, 0, -6, -5, -6, 0]);
  refused(() => similarity(a, [vector(1)], 'manhattan'), 'input');
  refused(() => similarity(a, b, 'hamming'), 'option');
});

test('the closest vectors come first, and of equal ones the first', () => {
  const corpus = [vector(0, 1), vector(1, 0), vector(1, 1), vector(2, 0), vector(NaN, 1), vector(0, 0), vector(-1, 0)];
  const { indices, scores } = search(vector(1, 0), corpus, { topK: 4 });
  assert.ok(indices instanceof Uint32Array && scores instanceof Float32Array);
  assert.deepEqual([...indices], [1, 3, 2, 0]);
  near(scores, [1, 1, Math.SQRT1_2, 0]);
  assert.deepEqual([...search([1, 0], corpus, { metric: 'dot', topK: 2 }).indices], [3, 1]);
  const all = search(vector(1, 0), corpus);
  assert.deepEqual([all.indices.at(-1), all.scores.at(-1)], [4, NaN], 'what is no number is last');
  const many = search([vector(1, 0), vector(0, 1)], corpus, { topK: 1 });
  assert.deepEqual(
    many.map((one) => [...one.indices]),
    [[1], [0]],
  );
  assert.equal(search(vector(1), []).indices.length, 0);
  assert.deepEqual(search([], corpus), []);
  for (const topK of [0, -1, 1.5, NaN, '3']) refused(() => search(vector(1, 0), corpus, { topK }), 'option');
  refused(() => search(vector(1, 0, 0), corpus), 'input');
  // A large array, against every score sorted.
  let seed = 1;
  const next = () => (seed = (seed * 1103515245 + 12345) % 2 ** 31) / 2 ** 31 - 0.5;
  const large = rows(Float32Array.from({ length: 3000 * 16 }, next), 16);
  const query = Float32Array.from({ length: 16 }, next);
  const expected = large
    .map((one, i) => [cosine(query, one), i])
    .sort(([a, i], [b, j]) => b - a || i - j)
    .slice(0, 20);
  assert.deepEqual(
    [...search(query, large, { topK: 20 }).indices],
    expected.map(([, i]) => i),
  );
});

test('texts are searched by their vectors, and ranked again', async () => {
  const asked = [];
  const embed = async (given, options) => {
    asked.push(options);
    const one = (text) => vector(text.length, text.includes('a') ? 1 : 0);
    return Array.isArray(given) ? given.map(one) : one(given);
  };
  const rerank = async (query, texts, { topK }) =>
    texts
      .map((text, index) => ({ index, score: -text.length, text }))
      .sort((a, b) => b.score - a.score)
      .slice(0, topK);
  const texts = ['aaaa', 'bb', 'a', 'bbbbbb'];
  const found = await search('bbb', texts, { embed, topK: 2 });
  assert.deepEqual(
    found.map(({ index, text }) => [index, text]),
    [
      [1, 'bb'],
      [3, 'bbbbbb'],
    ],
  );
  near(
    found.map(({ score }) => score),
    [1, 1],
  );
  assert.deepEqual(asked, [{ prompt: 'query' }, { prompt: 'document' }]);
  const ranked = await search('bbb', texts, {
    embed,
    rerank,
    candidates: 3,
    topK: 2,
    queryPrompt: '',
    textPrompt: 'text: ',
  });
  assert.deepEqual(ranked, [
    { index: 1, score: -2, text: 'bb' },
    { index: 0, score: -4, text: 'aaaa' },
  ]);
  assert.deepEqual(asked.slice(2), [{ prompt: '' }, { prompt: 'text: ' }]);
  assert.deepEqual(await search('a', [], { embed }), []);
  await assert.rejects(search('a', texts, {}), { code: 'option' });
});
