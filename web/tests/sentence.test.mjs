// Directories of sentence-transformers through the whole package, against the vectors that the library makes with them.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openSite } from './support/browser.mjs';

const FIXTURES = fileURLToPath(new URL('../../tests/fixtures', import.meta.url));

/** Vectors of models in f32, against PyTorch's. */
const TOLERANCE = 1e-4;

let site;
let cases;
before(async () => {
  site = await openSite('none', { mounts: { '/fixtures': FIXTURES } });
  cases = JSON.parse(await readFile(`${FIXTURES}/sentence/cases.json`, 'utf8'));
});
after(() => site?.close());

/** In the page: the vectors of each case's runs, or what its pipeline is refused for. */
async function vectors({ pipeline }, { cases, worker }) {
  const found = [];
  for (const { base, at, files, weights, runs, load = {} } of cases) {
    const picked = [];
    const add = (path, bytes) => {
      const file = new File([bytes], path.split('/').pop());
      picked.push(Object.defineProperty(file, 'webkitRelativePath', { value: `picked/${path}` }));
    };
    for (const name of ['config.json', 'model.safetensors', 'tokenizer_config.json', 'vocab.txt']) {
      add(at ? `${at}/${name}` : name, await (await fetch(`/fixtures/tasks/${base}/${name}`)).arrayBuffer());
    }
    for (const [path, value] of Object.entries(files)) add(path, JSON.stringify(value));
    for (const [path, hex] of Object.entries(weights)) {
      add(
        path,
        Uint8Array.from(hex.match(/../g), (byte) => Number.parseInt(byte, 16)),
      );
    }
    try {
      const embed = await pipeline('feature-extraction', picked, { worker, ...load });
      const all = [];
      for (const { input, options } of runs) {
        const given = await embed(input, options).catch(({ code, message }) => [code, message]);
        all.push(given[0] instanceof Float32Array ? given.map((row) => [...row]) : [...given]);
      }
      found.push(all);
      await embed.dispose();
    } catch ({ code, message }) {
      found.push(`${code} ${message}`);
    }
  }
  return found;
}

/** A run as the package is asked for it: who does not ask for scaled vectors has the last module's say. */
function asked({ files, runs }) {
  const angle = (files['config_sentence_transformers.json']?.similarity_fn_name ?? 'cosine') === 'cosine';
  const last = files['modules.json'].at(-1).type.endsWith('.Normalize');
  return runs.map(({ text, pair, prompt, dimensions, normalize }) => ({
    input: pair === undefined ? text : { text, pair },
    options: { prompt, dimensions, ...(normalize ? { normalize } : angle ? { normalize: last } : {}) },
  }));
}

test('a directory gives the vectors that sentence-transformers makes with it', async () => {
  assert.ok(cases.length >= 30);
  // What is called otherwise belongs to other models than BERT.
  const known = cases.filter(({ name }) => !['roberta-name', 'bin'].includes(name));
  const found = await site.run(vectors, { cases: known.map((one) => ({ ...one, runs: asked(one) })), worker: true });
  for (const [i, { name, runs }] of known.entries()) {
    assert.equal(typeof found[i], 'object', `${name}: ${found[i]}`);
    for (const [j, { values, text, prompt }] of runs.entries()) {
      const what = `${name}: ${JSON.stringify({ text, prompt })}`;
      assert.equal(found[i][j].length, values.length, `${what}: ${found[i][j]}`);
      const off = Math.max(...values.map((value, at) => Math.abs(value - found[i][j][at])));
      assert.ok(off <= TOLERANCE, `${what}: off by ${off}`);
    }
  }
  assert.deepEqual(site.problems, []);
});

test('what a call or a file asks for and is not there is refused by name', async () => {
  const of = (name, change = {}) => ({ ...structuredClone(cases.find((one) => one.name === name)), ...change });
  const run = (options) => ({ input: 'the cat', options });
  const dense = of('dense', { runs: [run({ pooling: 'none' })] });
  const { '2_Dense/model.safetensors': _, ...without } = dense.weights;
  const tokens = of('of-tokens', { load: { pooling: 'none' }, runs: [run({}), run({ dimensions: 3 })] });
  const refused = [
    of('prompts', {
      runs: [run({ prompt: 'corpus' }), run({ dimensions: 25 }), run({ dimensions: 0 }), run({ prompt: 3 })],
    }),
    dense,
    { ...dense, weights: without },
    { ...dense, weights: { ...without, '2_Dense/pytorch_model.bin': '00' } },
    tokens,
  ];
  const [prompts, pooling, missing, old, each] = await site.run(vectors, { cases: refused, worker: false });
  const options = [
    /no prompt called "corpus".*query, document, passage/,
    /25 of 24 numbers/,
    /0 of 24/,
    /not a string/,
  ];
  for (const [i, words] of options.entries()) {
    assert.equal(prompts[i][0], 'option');
    assert.match(prompts[i][1], words);
  }
  assert.match(pooling[0].join(' '), /^option pooling: the pipeline was loaded with another/);
  assert.match(missing, /^config 2_Dense\/model\.safetensors: it is missing/);
  assert.match(old, /pytorch_model\.bin is not read here.*cloze convert/);
  assert.deepEqual([each[0].length, each[0][0].length], [4, 10], 'a vector a token, of as many numbers as Dense gives');
  assert.equal(each[1][0], 'option');
});
