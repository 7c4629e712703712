// Where models come from: the Hub, the package, picked files, modules of sentence-transformers; and all of it in Node.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { openPage, openSite, runIn } from './support/browser.mjs';
import { Host, WEIGHTS, digests, hex, model, noise } from './support/host.mjs';
import * as inNode from './support/sinks.mjs';

const SINKS = '/support/sinks.mjs';
const MODULE = new URL('../dist/load/index.js', import.meta.url).href;
const COMMIT = '0123456789abcdef0123456789abcdef01234567';
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
const refuses = (promise, code, words) => assert.rejects(promise, (error) => {
  assert.equal(`${error.name} ${error.code}`, `ClozeError ${code}`, error.message);
  assert.match(error.message, words);
  return true;
});

/** A model on a Hub of its own at `/hub/NAME`; gives the address of the Hub and what to change about its answer. */
function hub(name, files, { commit = COMMIT, revision = 'main', large = /\.safetensors$/, siblings = [] } = {}) {
  const answer = {
    sha: commit,
    siblings: [...Object.entries(files).map(([rfilename, bytes]) => ({
      rfilename,
      size: bytes.length,
      ...(large.test(rfilename) && { lfs: { sha256: hex(bytes), size: bytes.length, pointerSize: 134 } }),
    })), ...siblings],
  };
  const api = `/hub/${name}/api/models/me/${name}/revision/${revision}`;
  const say = (changed) => host.files.set(api, Buffer.from(typeof changed === 'string' ? changed : JSON.stringify(changed)));
  say(answer);
  host.add(`/hub/${name}/me/${name}/resolve/${commit}/`, files);
  return { id: `me/${name}`, hub: `${site.server.url}/hub/${name}`, answer, say, api, base: `/hub/${name}/me/${name}/resolve/` };
}

test('a model of the Hub: one question, then the files of the commit; again only the question', async () => {
  const files = { ...model(WEIGHTS), 'tokenizer_config.json': '{}', 'README.md': 'x', 'pytorch_model.bin': 'x' };
  const at = hub('plain', files);
  host.take();
  const loaded = await load(at.id, { hub: at.hub });
  const { 'README.md': _, 'pytorch_model.bin': __, ...expected } = digests(files);
  assert.deepEqual([loaded.sha256, loaded.revision, loaded.cached], [expected, COMMIT, true]);
  const asked = host.take();
  assert.equal(asked[0], `GET ${at.api}?blobs=true`);
  assert.deepEqual(asked.slice(1).sort(), Object.keys(expected).map((file) => `GET ${at.base}${COMMIT}/${file}`).sort());
  assert.deepEqual((await load(at.id, { hub: at.hub })).sha256, expected);
  assert.deepEqual(host.take(), [`GET ${at.api}?blobs=true`]);
  assert.deepEqual((await load(at.id, { hub: at.hub, offline: true })).sha256, expected);
  assert.deepEqual(host.take(), []);

  // The branch moves on: what changed is fetched, and the rest of that commit.
  const newer = 'f'.repeat(40);
  const moved = hub('plain', { ...files, 'vocab.txt': '[PAD]\n' }, { commit: newer });
  const latest = await load(moved.id, { hub: moved.hub });
  assert.deepEqual([latest.revision, latest.sha256['vocab.txt']], [newer, hex('[PAD]\n')]);
  // The Hub is out of order: what was there last will do.
  host.fault(at.api, { status: 503 });
  const stale = await load(at.id, { hub: at.hub });
  assert.deepEqual([stale.revision, stale.stale], [newer, true]);
  // And no other revision may stand in for one.
  await refuses(load(at.id, { hub: at.hub, offline: true, revision: 'dev' }), 'hub_not_cached', /me\/plain: .*offline/);
});

test('a commit that is there is not asked for', async () => {
  const at = hub('commit', model(), { revision: COMMIT });
  await load(`${at.id}@${COMMIT}`, { hub: at.hub });
  host.take();
  assert.deepEqual((await load(at.id, { hub: at.hub, revision: COMMIT })).sha256, digests(model()));
  assert.deepEqual(host.take(), []);
  const other = hub('commit', model(), { revision: COMMIT });
  other.say({ ...other.answer, sha: 'e'.repeat(40) });
  await refuses(load(at.id, { hub: at.hub, revision: COMMIT, cache: false }), 'hub_answer', /commit/);
});

test('revisions, tokens, other hubs and addresses of pages', async () => {
  const at = hub('branch', model(), { revision: 'refs%2Fpr%2F1' });
  host.files.set('/hub/branch/api/models/me/branch/revision/refs/pr/1', host.files.get(at.api));
  host.log.length = 0;
  await load(at.id, { hub: `${at.hub}/`, revision: 'refs/pr/1', token: 'hf_x' });
  assert.match(host.log[0].path, /revision\/refs\/pr\/1\?blobs=true$/);
  assert.deepEqual(new Set(host.log.map(({ headers }) => headers.authorization)), new Set(['Bearer hf_x']));
  const page = hub('page', model(), { revision: 'dev' });
  host.take();
  assert.equal((await load(`${page.hub}/${page.id}/tree/dev`, { hub: page.hub })).revision, COMMIT);
  assert.equal(host.take()[0], `GET ${page.api}?blobs=true`);
  for (const hub of ['ftp://x', 'https://u:p@x.example', 'https://x.example?q', 'http://']) {
    await refuses(load('a/b', { hub }), 'option', /^hub: /);
  }
  await refuses(load('a/b', { hub: at.hub, token: 'a\nb' }), 'option', /^token: /);
});

test('what the Hub refuses has a code of its own', async () => {
  const at = hub('codes', model());
  const answers = [[404, 'hub_not_found', /me\/codes: there is no such model or revision/], [401, 'hub_no_access', /option token/],
    [403, 'hub_no_access', /not for everyone/], [503, 'hub_network', /503/], [418, 'hub_answer', /unexpected status 418/]];
  for (const [status, code, words] of answers) {
    host.fault(at.api, { status });
    await refuses(load(at.id, { hub: at.hub, retries: 0 }), code, words);
  }
  await refuses(load(at.id, { hub: at.hub, retries: 0, offline: true }), 'hub_not_cached', /offline/);
  await refuses(load('a/b', { hub: 'http://127.0.0.1:9', retries: 0 }), 'hub_network', /cannot be reached/);
  host.faults.clear();
  host.fault(`${at.base}${COMMIT}/vocab.txt`, { status: 403 });
  await refuses(load(at.id, { hub: at.hub, token: 'x' }), 'hub_no_access', /me\/codes, vocab\.txt: the token/);
  host.fault(`${at.base}${COMMIT}/vocab.txt`, { status: 404 });
  await refuses(load(at.id, { hub: at.hub }), 'hub_not_found', /vocab\.txt/);
});

test('bytes that are not those that were announced are refused, and not kept', async () => {
  const at = hub('lies', model(WEIGHTS));
  const path = `${at.base}${COMMIT}/model.safetensors`;
  const wrong = Buffer.from(WEIGHTS);
  wrong[4321] ^= 1;
  for (const [body, words] of [[wrong, /SHA-256/], [wrong.subarray(1), /announced/], [Buffer.concat([wrong, wrong]), /announced/]]) {
    host.fault(path, { body });
    await refuses(load(at.id, { hub: at.hub, retries: 0 }), 'hub_answer', words);
  }
  // Without a length, as it comes.
  host.fault(path, { body: Buffer.concat([wrong, wrong]), headers: { 'transfer-encoding': 'chunked' } });
  await refuses(load(at.id, { hub: at.hub, retries: 0 }), 'hub_answer', /more than the 5242880 bytes/);
  host.faults.clear();
  host.take();
  assert.deepEqual((await load(at.id, { hub: at.hub })).sha256, digests(model(WEIGHTS)));
  assert.ok(host.take().includes(`GET ${path}`));
  const integrity = { 'model.safetensors': 'a'.repeat(64) };
  await refuses(load(at.id, { hub: at.hub, integrity, cache: false }), 'hub_answer', /integrity/);
});

test('an answer that makes no sense is refused', async () => {
  const at = hub('nonsense', model());
  const file = (change) => ({ ...at.answer, siblings: at.answer.siblings.map((s) => ({ ...s, ...change })) });
  for (const answer of ['', '<html>', '[]', 'null', '7', '{}', { ...at.answer, sha: '../../x' }, { ...at.answer, sha: 'A'.repeat(40) },
    { ...at.answer, siblings: {} }, file({ size: -1, lfs: undefined }), file({ size: 1.5, lfs: undefined }), file({ size: '9', lfs: null }),
    file({ lfs: { sha256: 'x', size: 1 } }), file({ lfs: { sha256: `${'a'.repeat(63)}/`, size: 1 } }), file({ lfs: 7 })]) {
    at.say(answer);
    await refuses(load(at.id, { hub: at.hub, cache: false }), 'hub_answer', /me\/nonsense: .*cannot be used/);
  }
  at.say({ ...at.answer, siblings: at.answer.siblings.map((s) => ({ ...s, lfs: { sha256: 'a'.repeat(64), size: 6e9 } })) });
  await refuses(load(at.id, { hub: at.hub, cache: false }), 'config', /config\.json: it is longer/);
});

test('no word of a server becomes an address unchecked', async () => {
  const hostile = ['../../../secret', '/etc/passwd', 'a/../../b', '.hidden', 'x y', 'a\\b', 'model.safetensors?x', '__proto__', '%2e%2e/x', 7, null];
  const at = hub('hostile', model(), { siblings: hostile.map((rfilename) => ({ rfilename, size: 1 })) });
  host.take();
  assert.deepEqual((await load(at.id, { hub: at.hub })).sha256, digests(model()));
  assert.equal(host.take().length, 4);

  const { 'model.safetensors': _, ...rest } = model();
  for (const [i, name] of ['../x.safetensors', '/x.safetensors', 'a/b.safetensors', 'x.bin', '.safetensors/..', '', 7, 'a..safetensors'].entries()) {
    const index = JSON.stringify({ weight_map: { 'a.weight': 'model-1.safetensors', 'b.weight': name } });
    const shards = { 'model-1.safetensors': noise(10), 'model.safetensors.index.json': index };
    host.add(`/models/hostile-${i}/`, { ...rest, ...shards });
    host.take();
    await refuses(load(`/models/hostile-${i}/`), 'checkpoint', /model\.safetensors\.index\.json: ".*" is not the name/);
    assert.ok(!host.take().some((line) => line.endsWith('1.safetensors')), String(name));
  }
  const many = Object.fromEntries(Array.from({ length: 1001 }, (_, i) => [`t${i}`, `${i}.safetensors`]));
  for (const [i, [index, words]] of [['{', /no JSON/], ['{}', /weight_map/], ['{"weight_map": {}}', /names no file/],
    [JSON.stringify({ weight_map: many }), /more than 1000/]].entries()) {
    host.add(`/models/index-${i}/`, { ...rest, 'model.safetensors.index.json': index });
    await refuses(load(`/models/index-${i}/`), 'checkpoint', words);
  }
  for (const id of ['a/b/c', 'a/..', 'a--b/c', 'a/b.git', 'a/b@', 'a/b@../c', 'a b/c', 'a/b?x', 'a/%2e%2e', 'ä/b', `a/${'b'.repeat(95)}`]) {
    await refuses(load(id, { hub: '/hub/x' }), 'option', /^(model|revision): /);
  }
});

test('weights in shards, each checked', async () => {
  const { 'model.safetensors': _, ...rest } = model();
  const index = JSON.stringify({ weight_map: { a: 'model-1.safetensors', b: 'model-2.safetensors', c: 'model-1.safetensors' } });
  const files = { ...rest, 'model.safetensors.index.json': index, 'model-1.safetensors': noise(1000, 4), 'model-2.safetensors': noise(2000, 5) };
  const at = hub('shards', files);
  const loaded = await load(at.id, { hub: at.hub });
  assert.deepEqual(loaded.sha256, digests(files));
  assert.deepEqual(loaded.files.slice(-2), ['model-1.safetensors', 'model-2.safetensors']);
  const { 'model-2.safetensors': __, ...lacking } = files;
  const lame = hub('lame', lacking);
  await refuses(load(lame.id, { hub: lame.hub }), 'hub_not_found', /model-2\.safetensors/);
  // Each is within the limit, and both are not.
  const huge = hub('huge', files);
  huge.say({ ...huge.answer, siblings: huge.answer.siblings.map((s) =>
    (s.rfilename === 'model-2.safetensors' ? { ...s, lfs: { sha256: 'a'.repeat(64), size: 2 ** 32 - 2 ** 24 - 999 } } : s)) });
  await refuses(load(huge.id, { hub: huge.hub }), 'memory', /model-2\.safetensors needs 4278189081 bytes, 4278189080 are/);
  const bin = hub('bin', { ...rest, 'pytorch_model.bin': 'x' });
  await refuses(load(bin.id, { hub: bin.hub }), 'checkpoint', /there is pytorch_model\.bin, which is not read.*save_pretrained/);
});

const MODULES = (encoder, kinds = ['Transformer', 'Pooling', 'Normalize'], pooling = '1_Pooling') => JSON.stringify(kinds.map((kind, i) =>
  ({ idx: i, name: String(i), path: [encoder, pooling, '2_Normalize'][i], type: `sentence_transformers.models.${kind}` })));

test('the modules of sentence-transformers', async () => {
  const files = { ...model(), 'modules.json': MODULES(''), '1_Pooling/config.json': '{"pooling_mode_mean_tokens": true}',
    'sentence_bert_config.json': '{"max_seq_length": 256}', 'tokenizer.json': '{}' };
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
  for (const [i, [modules, code, words]] of [[MODULES('', ['Transformer', 'Dense']), 'unsupported', /Transformer, Dense/],
    [MODULES('', []), 'unsupported', /modules/], ['{}', 'config', /no list/], ['[null]', 'config', /no type/], ['[', 'config', /no JSON/],
    [MODULES('../x'), 'config', /no directory inside/], [MODULES('', undefined, '/etc'), 'config', /no directory inside/]].entries()) {
    host.add(`/models/modules-${i}/`, { ...model(), 'modules.json': modules });
    await refuses(load(`/models/modules-${i}/`), code, words);
  }
  const { 'vocab.txt': __, ...mute } = model();
  host.add('/models/mute/', mute);
  await refuses(load('/models/mute/'), 'tokenizer', /neither tokenizer\.json nor vocab\.txt/);
});

/** The package's own model, as its manifest says. */
const manifest = (revision, weights) => {
  const files = model(weights);
  host.add(`/models/shipped-${revision}/`, files);
  return {
    name: 'shipped', revision,
    files: Object.fromEntries(Object.entries(files).map(([file, bytes]) => [file, { size: bytes.length, sha256: hex(bytes),
      ...(file === 'config.json' ? { text: String(bytes) } : { url: `${site.server.url}/models/shipped-${revision}/${file}` }) }])),
  };
};

test("the package's model is fetched once a version, and the version before is dropped", async () => {
  const first = manifest('1', noise(3000, 1));
  await refuses(load(first, { offline: true }), 'io', /shipped: .*offline/);
  host.take();
  const loaded = await load(first);
  assert.deepEqual([loaded.sha256, loaded.revision, loaded.cached], [digests(model(noise(3000, 1))), '1', true]);
  assert.deepEqual(host.take().sort(), ['GET /models/shipped-1/model.safetensors', 'GET /models/shipped-1/vocab.txt']);
  assert.deepEqual([(await load(first)).cached, (await load(first, { offline: true })).cached, host.take()], [true, true, []]);
  await load(manifest('2', noise(3000, 2)));
  const list = await run(async () => (await import('/dist/load/index.js')).listModels());
  assert.deepEqual(list.filter(({ name }) => name === 'shipped').map(({ revision }) => revision), ['2']);
  const lying = manifest('3');
  host.fault('/models/shipped-3/vocab.txt', { body: Buffer.from('[PAD]\n[UNK]_') });
  await refuses(load(lying), 'checkpoint', /shipped-3\/vocab\.txt: its SHA-256/);
  await refuses(load({ ...lying, files: { '../x': { size: 1, sha256: 'a'.repeat(64), url: 'x' } } }), 'option', /manifest/);
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
    await refuses(pick('multiple', flat, { integrity: { 'vocab.txt': 'a'.repeat(64) } }), 'checkpoint', /vocab\.txt: its SHA-256/);
    const twice = await write('twice', { 'a/config.json': '{}', 'b/config.json': '{}' });
    await refuses(pick('webkitdirectory', twice), 'option', /both twice\/a\/ and twice\/b\//);
    const aborted = await run(async ({ load }) => {
      const signal = AbortSignal.abort();
      return (await load([new File(['{}'], 'config.json')], { signal }).catch((e) => e)).name;
    }, null, page);
    assert.equal(aborted, 'AbortError');
    await refuses(run(({ load }) => load([]), null, page), 'option', /no files/);
    await refuses(run(({ load }) => load(7), null, page), 'option', /^model: /);
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
  const shipped = { name: 'node', revision: '1', files: Object.fromEntries(Object.entries(model(WEIGHTS)).map(([file, bytes]) =>
    [file, { size: bytes.length, sha256: hex(bytes), url: () => new URL(`${url}/${file}`) }])) };
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
  const aborted = load(`${site.server.url}/models/node/`, { signal: controller.signal, onProgress: (p) => p.loaded > 1e6 && controller.abort() });
  await assert.rejects(aborted, { name: 'AbortError' });
  const { listModels, deleteModel, deleteModels } = await import(MODULE);
  assert.deepEqual([await listModels(), await deleteModel('x'), await deleteModels()], [[], false, false]);
});

test('the import touches no global of a browser', async () => {
  const script = `
    for (const name of ['caches', 'navigator', 'location', 'document', 'window', 'self', 'fetch', 'crypto', 'Worker', 'indexedDB']) {
      Object.defineProperty(globalThis, name, { get() { throw new Error(name + ' was touched'); } });
    }
    const { loadModel } = await import(${JSON.stringify(MODULE)});
    console.log(typeof loadModel);`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script]);
  assert.equal(stdout.trim(), 'function');
});
