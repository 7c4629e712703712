// Models of a Hub that answers, refuses, lies and is hostile. In real Chromium.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openSite, runIn } from './support/browser.mjs';
import { COMMIT, Host, WEIGHTS, addHub, digests, hex, model, noise } from './support/host.mjs';

const SINKS = '/support/sinks.mjs';
const host = new Host();
let site;

before(async () => {
  site = await openSite('none', { mounts: { '/support/': 'tests/support' }, handle: host.handle });
});
after(() => site?.close());

const run = (body, argument, page = site.page) => runIn(page, body, argument, SINKS);
const load = (url, options = {}) => run(({ load }, [url, options]) => load(url, options), [url, options]);
const refuses = (promise, code, words) =>
  assert.rejects(promise, (error) => {
    assert.equal(`${error.name} ${error.code}`, `ClozeError ${code}`, error.message);
    assert.match(error.message, words);
    return true;
  });

const hub = (name, files, options) => addHub(host, site.server.url, name, files, options);

test('a model of the Hub: one question, then the files of the commit; again only the question', async () => {
  const files = { ...model(WEIGHTS), 'tokenizer_config.json': '{}', 'README.md': 'x', 'pytorch_model.bin': 'x' };
  const at = hub('plain', files);
  host.take();
  const loaded = await load(at.id, { hub: at.hub });
  const { 'README.md': _, 'pytorch_model.bin': __, ...expected } = digests(files);
  assert.deepEqual([loaded.sha256, loaded.revision, loaded.cached], [expected, COMMIT, true]);
  const asked = host.take();
  assert.equal(asked[0], `GET ${at.api}?blobs=true`);
  assert.deepEqual(
    asked.slice(1).sort(),
    Object.keys(expected)
      .map((file) => `GET ${at.base}${COMMIT}/${file}`)
      .sort(),
  );
  assert.deepEqual((await load(at.id, { hub: at.hub })).sha256, expected);
  assert.deepEqual(host.take(), [`GET ${at.api}?blobs=true`]);
  assert.deepEqual((await load(at.id, { hub: at.hub, offline: true })).sha256, expected);
  assert.deepEqual(host.take(), []);

  // The branch moves on: what changed is fetched, and the rest of that commit.
  const newer = 'f'.repeat(40);
  const moved = hub('plain', { ...files, 'vocab.txt': '[PAD]\n' }, { commit: newer });
  const latest = await load(moved.id, { hub: moved.hub });
  assert.deepEqual([latest.revision, latest.sha256['vocab.txt']], [newer, hex('[PAD]\n')]);
  // The commit before is dropped: no other branch stands for it.
  const revisions = await run(async (_, name) => {
    const models = await (await import('/dist/load/index.js')).listModels();
    return models.filter((model) => model.name === name).map(({ revision, complete }) => [revision, complete]);
  }, `${at.hub}/${at.id}`);
  assert.deepEqual(revisions, [[newer, true]]);
  // The branch moves again, and that commit is not to be had: the last one that was will do.
  const half = hub('plain', { ...files, 'vocab.txt': '[UNK]\n' }, { commit: 'd'.repeat(40) });
  host.fault(`${half.base}${'d'.repeat(40)}/vocab.txt`, { status: 500 });
  const last = await load(at.id, { hub: at.hub, retries: 0 });
  assert.deepEqual([last.revision, last.stale], [newer, true]);
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
    // No password is shown.
    await refuses(load('a/b', { hub }), 'option', /^hub: (?!.*u:p)/);
  }
  await refuses(load('a/b', { hub: at.hub, token: 'a\nb' }), 'option', /^token: /);
});

test('what the Hub refuses has a code of its own', async () => {
  const at = hub('codes', model());
  const answers = [
    [404, 'hub_not_found', /me\/codes: there is no such model or revision/],
    [401, 'hub_no_access', /option token/],
    [403, 'hub_no_access', /not for everyone/],
    [503, 'hub_network', /503/],
    [418, 'hub_answer', /unexpected status 418/],
  ];
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
  for (const [body, words] of [
    [wrong, /SHA-256/],
    [wrong.subarray(1), /announced/],
    [Buffer.concat([wrong, wrong]), /announced/],
  ]) {
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
  // What was announced is no beginning of what was more.
  const half = noise(256 << 10);
  const more = hub('more', { ...model(), 'vocab.txt': half });
  const list = `${more.base}${COMMIT}/vocab.txt`;
  const headers = { 'transfer-encoding': 'chunked' };
  host.fault(list, { body: Buffer.concat([half, half]), headers, slow: 30 });
  await refuses(load(more.id, { hub: more.hub }), 'hub_answer', /vocab\.txt: .*more than the 262144 bytes/);
  host.faults.clear();
  host.take();
  assert.equal((await load(more.id, { hub: more.hub })).sha256['vocab.txt'], hex(half));
  assert.ok(host.take().includes(`GET ${list}`));
  const integrity = { 'model.safetensors': 'a'.repeat(64) };
  await refuses(load(at.id, { hub: at.hub, integrity, cache: false }), 'hub_answer', /integrity/);
});

test('an answer that makes no sense is refused', async () => {
  const at = hub('nonsense', model());
  const file = (change) => ({ ...at.answer, siblings: at.answer.siblings.map((s) => ({ ...s, ...change })) });
  for (const answer of [
    '',
    '<html>',
    '[]',
    'null',
    '7',
    '{}',
    { ...at.answer, sha: '../../x' },
    { ...at.answer, sha: 'A'.repeat(40) },
    { ...at.answer, siblings: {} },
    file({ size: -1, lfs: undefined }),
    file({ size: 1.5, lfs: undefined }),
    file({ size: '9', lfs: null }),
    file({ lfs: { sha256: 'x', size: 1 } }),
    file({ lfs: { sha256: `${'a'.repeat(63)}/`, size: 1 } }),
    file({ lfs: 7 }),
  ]) {
    at.say(answer);
    await refuses(load(at.id, { hub: at.hub, cache: false }), 'hub_answer', /me\/nonsense: .*cannot be used/);
  }
  at.say({
    ...at.answer,
    siblings: at.answer.siblings.map((s) => ({ ...s, lfs: { sha256: 'a'.repeat(64), size: 6e9 } })),
  });
  await refuses(load(at.id, { hub: at.hub, cache: false }), 'config', /config\.json: it is longer/);
});

test('no word of a server becomes an address unchecked', async () => {
  const hostile = [
    '../../../secret',
    '/etc/passwd',
    'a/../../b',
    '.hidden',
    'x y',
    'a\\b',
    'model.safetensors?x',
    '__proto__',
    '%2e%2e/x',
    7,
    null,
  ];
  const at = hub('hostile', model(), { siblings: hostile.map((rfilename) => ({ rfilename, size: 1 })) });
  host.take();
  assert.deepEqual((await load(at.id, { hub: at.hub })).sha256, digests(model()));
  assert.equal(host.take().length, 4);

  const { 'model.safetensors': _, ...rest } = model();
  for (const [i, name] of [
    '../x.safetensors',
    '/x.safetensors',
    'a/b.safetensors',
    'x.bin',
    '.safetensors/..',
    '',
    7,
    'a..safetensors',
  ].entries()) {
    const index = JSON.stringify({ weight_map: { 'a.weight': 'model-1.safetensors', 'b.weight': name } });
    const shards = { 'model-1.safetensors': noise(10), 'model.safetensors.index.json': index };
    host.add(`/models/hostile-${i}/`, { ...rest, ...shards });
    host.take();
    await refuses(load(`/models/hostile-${i}/`), 'checkpoint', /model\.safetensors\.index\.json: ".*" is not the name/);
    assert.ok(!host.take().some((line) => line.endsWith('1.safetensors')), String(name));
  }
  const many = Object.fromEntries(Array.from({ length: 1001 }, (_, i) => [`t${i}`, `${i}.safetensors`]));
  for (const [i, [index, words]] of [
    ['{', /no JSON/],
    ['{}', /weight_map/],
    ['{"weight_map": {}}', /names no file/],
    [JSON.stringify({ weight_map: many }), /more than 1000/],
  ].entries()) {
    host.add(`/models/index-${i}/`, { ...rest, 'model.safetensors.index.json': index });
    await refuses(load(`/models/index-${i}/`), 'checkpoint', words);
  }
  for (const id of [
    'a/b/c',
    'a/..',
    'a--b/c',
    'a/b.git',
    'a/b@',
    'a/b@../c',
    'a b/c',
    'a/b?x',
    'a/%2e%2e',
    'ä/b',
    `a/${'b'.repeat(95)}`,
  ]) {
    await refuses(load(id, { hub: '/hub/x' }), 'option', /^(model|revision): /);
  }
});

test('weights in shards, each checked', async () => {
  const { 'model.safetensors': _, ...rest } = model();
  const index = JSON.stringify({
    weight_map: { a: 'model-1.safetensors', b: 'model-2.safetensors', c: 'model-1.safetensors' },
  });
  const files = {
    ...rest,
    'model.safetensors.index.json': index,
    'model-1.safetensors': noise(1000, 4),
    'model-2.safetensors': noise(2000, 5),
  };
  const at = hub('shards', files);
  const loaded = await load(at.id, { hub: at.hub });
  assert.deepEqual(loaded.sha256, digests(files));
  assert.deepEqual(loaded.files.slice(-2), ['model-1.safetensors', 'model-2.safetensors']);
  const { 'model-2.safetensors': __, ...lacking } = files;
  const lame = hub('lame', lacking);
  await refuses(load(lame.id, { hub: lame.hub }), 'hub_not_found', /model-2\.safetensors/);
  // Each is within the limit, and both are not.
  const huge = hub('huge', files);
  huge.say({
    ...huge.answer,
    siblings: huge.answer.siblings.map((s) =>
      s.rfilename === 'model-2.safetensors'
        ? { ...s, lfs: { sha256: 'a'.repeat(64), size: 2 ** 32 - 2 ** 24 - 999 } }
        : s,
    ),
  });
  await refuses(
    load(huge.id, { hub: huge.hub }),
    'memory',
    /model-2\.safetensors needs 4278189081 bytes, 4278189080 are/,
  );
  const bin = hub('bin', { ...rest, 'pytorch_model.bin': 'x' });
  await refuses(
    load(bin.id, { hub: bin.hub }),
    'checkpoint',
    /there is pytorch_model\.bin, which is not read.*cloze convert --model/,
  );
});
