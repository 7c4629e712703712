// Models through the whole package: what is wrong with one, how it is kept, and what is left of one that is refused.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openSite, workersLeft } from './support/browser.mjs';

const FIXTURES = fileURLToPath(new URL('../../tests/fixtures', import.meta.url));

let site;
before(async () => {
  site = await openSite('none', { mounts: { '/fixtures': FIXTURES } });
});
after(() => site?.close());

/** Runs in the page: picks the default model's files after each of `changes`, and gives the code and message. */
async function refusals({ pipeline }, { changes, worker }) {
  const names = ['config.json', 'vocab.txt', 'tokenizer_config.json', 'model.safetensors'];
  const whole = {};
  for (const name of names) whole[name] = new Uint8Array(await (await fetch(`/dist/model/${name}`)).arrayBuffer());
  const found = [];
  for (const { task = 'question-answering', cut = {}, ...others } of changes) {
    const files = { ...whole, ...others };
    for (const [name, [from, to]] of Object.entries(cut)) files[name] = whole[name].slice(from, to);
    const picked = Object.entries(files)
      .filter(([, bytes]) => bytes !== null)
      .map(([name, bytes]) => new File([bytes], name));
    found.push(
      await pipeline(task, picked, { worker }).then(
        (run) => run.dispose().then(() => ['none', 'it loads']),
        ({ code, message }) => [code, message],
      ),
    );
  }
  return found;
}

for (const worker of [true, false]) {
  test(`a model that is broken or another is refused by name, ${worker ? 'in a worker' : 'in the page'}`, async () => {
    const cases = [
      [{ cut: { 'model.safetensors': [0, 1e6] } }, 'checkpoint', /^model\.safetensors: .*truncated/],
      [{ cut: { 'model.safetensors': [100] } }, 'checkpoint', /^model\.safetensors: /],
      [{ 'model.safetensors': '' }, 'checkpoint', /^model\.safetensors: 0 bytes/],
      [{ 'model.safetensors': null }, 'checkpoint', /neither model\.safetensors/],
      [{ 'model.safetensors': null, 'pytorch_model.bin': 'x' }, 'checkpoint', /there is pytorch_model\.bin/],
      [{ 'config.json': null }, 'io', /config\.json: it is missing/],
      [{ 'config.json': '' }, 'config', /^config\.json: /],
      [{ 'config.json': '{"model_type": "gpt2"}' }, 'unsupported', /"gpt2"/],
      [{ 'vocab.txt': null }, 'tokenizer', /vocab\.txt/],
      [{ 'vocab.txt': '[PAD]\n' }, 'tokenizer', /^vocab\.txt: /],
      [{ 'tokenizer.json': '{"model": {"type": "BPE"}}' }, 'unsupported', /BPE/],
      [{ task: 'fill-mask' }, 'checkpoint', /question answering.*BertForMaskedLM/],
    ];
    const found = await site.run(refusals, { changes: cases.map(([change]) => change), worker });
    for (const [i, [change, code, words]] of cases.entries()) {
      assert.equal(found[i][0], code, `${JSON.stringify(change)}: ${found[i]}`);
      assert.match(found[i][1], words);
    }
    assert.deepEqual(await workersLeft(site.page), [], 'a load that fails ends its worker');
    assert.deepEqual(site.problems, []);
  });
}

test("a directory's files keep their places on the way to a worker", async () => {
  const found = await site.run(async ({ pipeline }) => {
    const names = ['config.json', 'vocab.txt', 'model.safetensors', 'modules.json', '1_Pooling/config.json'];
    const base = '/fixtures/tasks/cls/';
    const picked = await Promise.all(
      names.map(async (path) => {
        const response = await fetch(base + path);
        if (!response.ok) throw new Error(`${path}: ${response.status}`);
        const file = new File([await response.arrayBuffer()], path.split('/').pop());
        // As browsers set it, but lost in a copy, as the standard has it.
        return Object.defineProperty(file, 'webkitRelativePath', { value: `picked/${path}` });
      }),
    );
    const vectors = [];
    for (const [model, worker] of [
      [picked, true],
      [picked, false],
      [base, false],
    ]) {
      const embed = await pipeline('feature-extraction', { model, worker, cache: false });
      vectors.push([...(await embed('Ada wrote it.'))]);
      await embed.dispose();
    }
    const twice = await pipeline('feature-extraction', [...picked, picked[0]]).catch(
      ({ code, message }) => `${code} ${message}`,
    );
    return { vectors, twice };
  });
  assert.ok(found.vectors[0].length > 0);
  assert.deepEqual(found.vectors[0], found.vectors[2]);
  assert.deepEqual(found.vectors[1], found.vectors[2]);
  assert.match(found.twice, /^option model: .*config\.json is there twice/);
});

test('a model that was loaded once is had offline; a full cache costs nothing but that', async () => {
  const { page, run } = await site.freshPage();
  const load = (options) =>
    run(async ({ pipeline, listModels, deleteModels }, { full, ...options }) => {
      if (full) {
        await deleteModels();
        Cache.prototype.put = async () => {
          throw new DOMException('no room', 'QuotaExceededError');
        };
      }
      try {
        const answer = await pipeline('question-answering', { model: '/dist/model/', worker: false, ...options });
        const [best] = await answer('Who wrote it?', 'Ada wrote it.');
        const { cached } = answer.model;
        await answer.dispose();
        return { best: best.answer, cached, models: (await listModels()).length };
      } catch ({ code, message }) {
        return `${code} ${message}`;
      }
    }, options);
  try {
    assert.match(await load({ offline: true }), /^io .*Load it once without the option offline/);
    assert.deepEqual(await load({}), { best: 'Ada', cached: true, models: 1 });
    const before = site.server.requests.filter((path) => path.startsWith('/dist/model/')).length;
    assert.deepEqual(await load({ offline: true }), { best: 'Ada', cached: true, models: 1 });
    assert.equal(site.server.requests.filter((path) => path.startsWith('/dist/model/')).length, before);
    assert.deepEqual(await load({ full: true }), { best: 'Ada', cached: false, models: 0 });
  } finally {
    await page.close();
  }
});

test('loads that fail in the page leave no memory behind', async () => {
  const { page, run } = await site.freshPage();
  const found = await run(async ({ pipeline }) => {
    const { default: init } = await import('/dist/wasm/cloze.js');
    // The GPU is refused when the model's weights are there, however long they take.
    let refuse = () => {};
    const gpu = {
      requestAdapter: () =>
        new Promise((resolve) => {
          refuse = () => resolve(null);
        }),
    };
    Object.defineProperty(navigator, 'gpu', { value: gpu, configurable: true });
    let weights = 0;
    const onProgress = ({ status, file, loaded }) => {
      if (status !== 'done' || file !== 'model.safetensors') return;
      weights = loaded;
      refuse();
    };
    const options = { device: 'webgpu', worker: false, onProgress };
    const bytes = [];
    const codes = new Set();
    for (let i = 0; i < 8; i++) {
      codes.add(
        await pipeline('question-answering', options).then(
          () => 'none',
          ({ code }) => code,
        ),
      );
      bytes.push((await init()).memory.buffer.byteLength);
    }
    return { weights, bytes, codes: [...codes] };
  });
  await page.close();
  assert.deepEqual(found.codes, ['gpu']);
  assert.ok(found.bytes[0] > found.weights && found.weights > 1e7, JSON.stringify(found));
  // What is stopped frees its memory when it ends, which may be after the next load has begun: no more than two at once.
  assert.ok(found.bytes.at(-1) <= found.bytes[0] + 1.05 * found.weights, JSON.stringify(found));
});
