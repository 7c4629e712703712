// Where else models come from: the package, picked files, modules of sentence-transformers; and all of it in Node.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { openPage, openSite, runIn } from './support/browser.mjs';
import { COMMIT, Host, WEIGHTS, addHub, digests, hex, model, noise } from './support/host.mjs';
import * as inNode from './support/sinks.mjs';

const SINKS = '/support/sinks.mjs';
const MODULE = new URL('../dist/load/index.js', import.meta.url).href;
const host = new Host();
let site;
let dir;

before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'cloze-load-'));
  site = await openSite('none', { mounts: { '/support/': 'tests/support' }, handle: host.handle });
});
after(async () => {
  await site?.close();
  await rm(dir, { recursive: true, force: true });
});

const run = (body, argument, page = site.page) => runIn(page, body, argument, SINKS);
const load = (url, options = {}) => run(({ load }, [url, options]) => load(url, options), [url, options]);
const refuses = (promise, code, words) =>
  assert.rejects(promise, (error) => {
    assert.equal(`${error.name} ${error.code}`, `ClozeError ${code}`, error.message);
    assert.match(error.message, words);
    return true;
  });

const hub = (name, files, options) => addHub(host, site.server.url, name, files, options);

const MODULES = (encoder, kinds = ['Transformer', 'Pooling', 'Normalize'], pooling = '1_Pooling') =>
  JSON.stringify(
    kinds.map((kind, i) => ({
      idx: i,
      name: String(i),
      path: [encoder, pooling, '2_Normalize'][i],
      type: `sentence_transformers.models.${kind}`,
    })),
  );

test('the modules of sentence-transformers', async () => {
  const files = {
    ...model(),
    'modules.json': MODULES(''),
    '1_Pooling/config.json': '{"pooling_mode_mean_tokens": true}',
    'sentence_bert_config.json': '{"max_seq_length": 256}',
    'tokenizer.json': '{}',
  };
  // The tokenizer's own file makes the list of words superfluous.
  const { 'vocab.txt': _, ...expected } = digests(files);
  const at = hub('sentence', files);
  const loaded = await load(at.id, { hub: at.hub });
  assert.deepEqual([loaded.sha256, 'encoder' in loaded], [expected, false]);

  const own = Object.fromEntries(Object.entries(model()).map(([file, bytes]) => [`0_Transformer/${file}`, bytes]));
  host.add('/models/own/', { ...own, 'modules.json': MODULES('0_Transformer'), '1_Pooling/config.json': '{}' });
  const inside = await load('/models/own/');
  assert.equal(inside.encoder, '0_Transformer');
  assert.deepEqual(inside.files.sort(), [...Object.keys(own), '1_Pooling/config.json', 'modules.json'].sort());

  host.add('/models/unpooled/', { ...model(), 'modules.json': MODULES('') });
  await refuses(load('/models/unpooled/'), 'config', /1_Pooling\/config\.json: it is missing/);
  for (const [i, [modules, code, words]] of [
    [MODULES('', ['Transformer', 'CNN']), 'unsupported', /the module CNN/],
    [MODULES('', ['Transformer', 'Dense']), 'config', /1_Pooling\/config\.json: it is missing/],
    [MODULES('', []), 'config', /no module/],
    ['{}', 'config', /no list/],
    ['[null]', 'config', /no type/],
    ['[', 'config', /no JSON/],
    [MODULES('../x'), 'config', /no directory inside/],
    [MODULES('', undefined, '/etc'), 'config', /no directory inside/],
  ].entries()) {
    host.add(`/models/modules-${i}/`, { ...model(), 'modules.json': modules });
    await refuses(load(`/models/modules-${i}/`), code, words);
  }
  const { 'vocab.txt': __, ...mute } = model();
  host.add('/models/mute/', mute);
  await refuses(load('/models/mute/'), 'tokenizer', /neither tokenizer\.json nor vocab\.txt/);
});

test('files of older models that say which tokens were added: from an address, the Hub and a folder', async () => {
  const legacy = { ...model(), 'special_tokens_map.json': '{}', 'added_tokens.json': '{"[E1]": 2}' };
  host.add('/models/legacy/', legacy);
  assert.deepEqual((await load('/models/legacy/')).sha256, digests(legacy));
  const at = hub('legacy', legacy);
  assert.deepEqual((await load(at.id, { hub: at.hub })).sha256, digests(legacy));
  const picked = await run(
    async ({ load }, files) => {
      const given = Object.entries(files).map(([name, bytes]) => new File([bytes], name));
      return load(given);
    },
    Object.fromEntries(Object.entries(legacy).map(([name, bytes]) => [name, String(bytes)])),
  );
  assert.deepEqual(picked.files.sort(), Object.keys(legacy).sort());

  // What newer models say in tokenizer_config.json makes them superfluous.
  const newer = { ...model(), 'tokenizer_config.json': '{"added_tokens_decoder": {}}' };
  host.add('/models/newer/', { ...newer, 'added_tokens.json': '{}' });
  host.take();
  assert.deepEqual((await load('/models/newer/')).sha256, digests(newer));
  assert.equal(host.take().filter((line) => /added_tokens|special_tokens/.test(line)).length, 0);
});

/** The package's own model, as its manifest says. */
const manifest = (revision, weights) => {
  const files = model(weights);
  host.add(`/models/shipped-${revision}/`, files);
  return {
    name: 'shipped',
    revision,
    files: Object.fromEntries(
      Object.entries(files).map(([file, bytes]) => [
        file,
        {
          size: bytes.length,
          sha256: hex(bytes),
          ...(file === 'config.json'
            ? { text: String(bytes) }
            : { url: `${site.server.url}/models/shipped-${revision}/${file}` }),
        },
      ]),
    ),
  };
};

test("the package's model is fetched once a version, and the version before is dropped", async () => {
  const first = manifest('1', noise(3000, 1));
  await refuses(load(first, { offline: true }), 'io', /shipped: .*offline/);
  host.take();
  const loaded = await load(first);
  assert.deepEqual([loaded.sha256, loaded.revision, loaded.cached], [digests(model(noise(3000, 1))), '1', true]);
  assert.deepEqual(host.take().sort(), ['GET /models/shipped-1/model.safetensors', 'GET /models/shipped-1/vocab.txt']);
  assert.deepEqual(
    [(await load(first)).cached, (await load(first, { offline: true })).cached, host.take()],
    [true, true, []],
  );
  await load(manifest('2', noise(3000, 2)));
  const list = await run(async () => (await import('/dist/load/index.js')).listModels());
  assert.deepEqual(
    list.filter(({ name }) => name === 'shipped').map(({ revision }) => revision),
    ['2'],
  );
  const lying = manifest('3');
  host.fault('/models/shipped-3/vocab.txt', { body: Buffer.from('[PAD]\n[UNK]_') });
  await refuses(load(lying), 'checkpoint', /shipped-3\/vocab\.txt: its SHA-256/);
  await refuses(
    load({ ...lying, files: { '../x': { size: 1, sha256: 'a'.repeat(64), url: 'x' } } }),
    'option',
    /manifest/,
  );
});

async function write(name, files) {
  for (const [file, bytes] of Object.entries(files)) {
    await mkdir(dirname(join(dir, name, file)), { recursive: true });
    await writeFile(join(dir, name, file), bytes);
  }
  return join(dir, name);
}

test('files that the visitor picked, by their directory or one by one', async () => {
  const files = { ...model(WEIGHTS), 'modules.json': MODULES(''), '1_Pooling/config.json': '{}', '.git/config': 'x' };
  const folder = await write('picked model', files);
  const { '.git/config': _, ...expected } = digests(files);
  const { page } = await openPage(site.context, site.server.url);
  const pick = async (attribute, paths, options = {}) => {
    await page.evaluate((attribute) => {
      document.body.innerHTML = '';
      const input = Object.assign(document.createElement('input'), { type: 'file' });
      input.setAttribute(attribute, '');
      document.body.append(input);
    }, attribute);
    await page.setInputFiles('input', paths);
    return run(({ load }, options) => load(document.querySelector('input').files, options), options, page);
  };
  try {
    host.take();
    const loaded = await pick('webkitdirectory', folder);
    assert.deepEqual([loaded.sha256, loaded.name, loaded.cached], [expected, 'picked model', false]);
    assert.deepEqual(host.take(), []);
    const flat = ['config.json', 'vocab.txt', 'model.safetensors'].map((file) => join(folder, file));
    assert.deepEqual((await pick('multiple', flat)).sha256, digests(model(WEIGHTS)));
    await refuses(pick('multiple', flat.slice(1)), 'io', /picked files, config\.json: it is missing/);
    await refuses(pick('multiple', flat.slice(0, 2)), 'checkpoint', /neither model\.safetensors/);
    await refuses(pick('multiple', [...flat, join(folder, 'modules.json')]), 'config', /1_Pooling.*their directory/);
    await refuses(
      pick('multiple', flat, { integrity: { 'vocab.txt': 'a'.repeat(64) } }),
      'checkpoint',
      /vocab\.txt: its SHA-256/,
    );
    const twice = await write('twice', { 'a/config.json': '{}', 'b/config.json': '{}' });
    await refuses(pick('webkitdirectory', twice), 'option', /both twice\/a\/ and twice\/b\//);
    const aborted = await run(
      async ({ load }) => {
        const signal = AbortSignal.abort();
        return (await load([new File(['{}'], 'config.json')], { signal }).catch((e) => e)).name;
      },
      null,
      page,
    );
    assert.equal(aborted, 'AbortError');
    await refuses(
      run(({ load }) => load([]), null, page),
      'option',
      /no files/,
    );
    await refuses(
      run(({ load }) => load(7), null, page),
      'option',
      /^model: /,
    );
  } finally {
    await page.close();
  }
});

test('in a worker', async () => {
  const expected = host.add('/models/worker/', model());
  const loaded = await run(async (_, url) => {
    const worker = new Worker('/support/load-worker.mjs', { type: 'module' });
    const answer = new Promise((resolve, reject) => {
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = (event) => reject(new Error(event.message));
    });
    worker.postMessage(url);
    return answer;
  }, `${site.server.url}/models/worker/`);
  assert.deepEqual([loaded.sha256, loaded.cached], [expected, true]);
});

test('in Node: files, addresses and the Hub, without a cache', async () => {
  const load = (model, options) => inNode.load(model, options, MODULE);
  const folder = await write('node', model(WEIGHTS));
  const expected = digests(model(WEIGHTS));
  const url = pathToFileURL(folder);
  const shipped = {
    name: 'node',
    revision: '1',
    files: Object.fromEntries(
      Object.entries(model(WEIGHTS)).map(([file, bytes]) => [
        file,
        { size: bytes.length, sha256: hex(bytes), url: () => new URL(`${url}/${file}`) },
      ]),
    ),
  };
  for (const model of [shipped, url, `${url}/`]) {
    const loaded = await load(model, { offline: true });
    assert.deepEqual([loaded.sha256, loaded.cached], [expected, false]);
  }
  shipped.files['vocab.txt'].sha256 = 'a'.repeat(64);
  await refuses(load(shipped), 'checkpoint', /vocab\.txt: its SHA-256/);
  await refuses(load(pathToFileURL(join(dir, 'none'))), 'io', /none\/config\.json/);
  const picked = Object.entries(model()).map(([name, bytes]) => new File([bytes], name));
  assert.deepEqual((await load(picked)).sha256, digests(model()));

  const at = hub('node', model(WEIGHTS));
  host.fault(`${at.base}${COMMIT}/model.safetensors`, { cut: 3 << 20, times: 1 });
  assert.deepEqual((await load(at.id, { hub: at.hub })).sha256, expected);
  host.add('/models/node/', model(WEIGHTS));
  host.fault('/models/node/model.safetensors', { cut: 3 << 20, times: 1 });
  host.take();
  assert.deepEqual((await load(`${site.server.url}/models/node/`)).sha256, expected);
  assert.ok(host.take().some((line) => /model\.safetensors bytes=[1-9]/.test(line)));
  await refuses(load(at.id, { hub: at.hub, offline: true }), 'hub_not_cached', /offline/);
  const controller = new AbortController();
  host.fault('/models/node/model.safetensors', { slow: 20 });
  const aborted = load(`${site.server.url}/models/node/`, {
    signal: controller.signal,
    onProgress: (p) => p.loaded > 1e6 && controller.abort(),
  });
  await assert.rejects(aborted, { name: 'AbortError' });
  const { listModels, deleteModel, deleteModels } = await import(MODULE);
  assert.deepEqual([await listModels(), await deleteModel('x'), await deleteModels()], [[], false, false]);
});

test('the import touches no global of a browser', async () => {
  const script = `
    const names = ['caches', 'navigator', 'location', 'document', 'window', 'self', 'fetch', 'crypto', 'Worker'];
    for (const name of names) {
      Object.defineProperty(globalThis, name, { get() { throw new Error(name + ' was touched'); } });
    }
    const { loadModel } = await import(${JSON.stringify(MODULE)});
    console.log(typeof loadModel);`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script]);
  assert.equal(stdout.trim(), 'function');
});
