// The loader against a server that fails in every way a server can, in real Chromium.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openPage, openSite, runIn } from './support/browser.mjs';
import { Host, WEIGHTS, digests, hex, model, noise } from './support/host.mjs';
import { serve } from './support/server.mjs';

const SINKS = '/support/sinks.mjs';
const MiB = 1 << 20;
const host = new Host();
let site;

before(async () => {
  site = await openSite('none', { mounts: { '/support/': 'tests/support' }, handle: host.handle });
});
after(() => site?.close());

/** Runs in the page. */
const run = (body, argument) => runIn(site.page, body, argument, SINKS);

/** Runs in a page of its own, so that nothing but the browser's cache is left of what went before. */
async function elsewhere(body, argument) {
  const { page } = await openPage(site.context, site.server.url);
  try {
    return await runIn(page, body, argument, SINKS);
  } finally {
    await page.close();
  }
}

const load = (url, options = {}) => run(({ load }, [url, options]) => load(url, options), [url, options]);
const loadElsewhere = (url) => elsewhere(({ load }, url) => load(url), url);
const refused = (url, options, code, words) =>
  assert.rejects(load(url, options), (error) => {
    assert.equal(`${error.name} ${error.code}`, `ClozeError ${code}`, error.message);
    assert.match(error.message, words);
    return true;
  });

test('a model comes whole, with progress, its weights last; then from the cache', async () => {
  const expected = host.add('/models/whole/', model(WEIGHTS));
  host.take();
  const loaded = await load('/models/whole/');
  assert.deepEqual(loaded.sha256, expected);
  assert.deepEqual(loaded.files.at(-1), 'model.safetensors');
  assert.deepEqual([loaded.name, loaded.cached, loaded.stale], [`${site.server.url}/models/whole/`, true, false]);
  assert.deepEqual(loaded.begun['model.safetensors'], [WEIGHTS.length]);

  const weights = loaded.progress.filter((p) => p.file === 'model.safetensors');
  assert.deepEqual([weights[0].status, weights[1].status, weights.at(-1).status], ['initiate', 'download', 'done']);
  const steps = weights.filter((p) => p.status === 'progress');
  assert.ok(steps.length >= 2 && steps.length < 100, `${steps.length} reports`);
  for (const [i, { loaded, total, progress, name }] of steps.entries()) {
    assert.ok(i === 0 || loaded >= steps[i - 1].loaded);
    assert.deepEqual(
      [total, progress, name],
      [WEIGHTS.length, (100 * loaded) / total, `${site.server.url}/models/whole/`],
    );
  }
  assert.equal(steps.at(-1).loaded, WEIGHTS.length);
  for (const [i, { at }] of steps.slice(1, -1).entries())
    assert.ok(at - steps[i].at > 45, `after ${at - steps[i].at} ms`);

  host.take();
  const again = await load('/models/whole');
  assert.deepEqual([again.sha256, again.cached], [expected, true]);
  const asked = host.take();
  assert.ok(asked.includes('HEAD /models/whole/model.safetensors'), asked.join());
  assert.ok(
    !asked.some(
      (line) =>
        line.startsWith('GET') && /config\.json$|vocab|safetensors/.test(line) && !line.includes('tokenizer_config'),
    ),
    asked.join(),
  );
});

test('a file that changed on the server is fetched again, one that did not is not', async () => {
  host.add('/models/changes/', model());
  await load('/models/changes/');
  const expected = host.add('/models/changes/', model(noise(200_000, 2)));
  host.take();
  const loaded = await load('/models/changes/');
  assert.deepEqual([loaded.sha256, loaded.cached], [expected, true]);
  const asked = host.take();
  assert.ok(
    asked.includes('GET /models/changes/model.safetensors') && !asked.includes('GET /models/changes/config.json'),
  );
});

test('with a revision, the cache is not asked whether it is right', async () => {
  const expected = host.add('/models/pinned/', model());
  await load('/models/pinned/', { revision: 'v1' });
  host.take();
  const loaded = await load('/models/pinned/', { revision: 'v1' });
  assert.deepEqual([loaded.sha256, loaded.revision, host.take()], [expected, 'v1', []]);
  await load('/models/pinned/', { revision: 'v2' });
  assert.ok(host.take().includes('GET /models/pinned/model.safetensors'));
});

test('a connection that breaks is continued where it ended', async () => {
  const expected = host.add('/models/cut/', model(WEIGHTS));
  host.fault('/models/cut/model.safetensors', { cut: 2 * MiB, times: 2 });
  host.log.length = 0;
  const loaded = await load('/models/cut/');
  assert.deepEqual([loaded.sha256, loaded.cached], [expected, true]);
  const requests = host.log.filter(({ path }) => path.endsWith('model.safetensors'));
  assert.equal(requests.length, 3);
  for (const { headers } of requests.slice(1)) {
    assert.match(headers.range, /^bytes=[1-9]\d*-$/);
    assert.equal(headers['if-range'], `"${hex(WEIGHTS).slice(0, 16)}"`);
  }
  assert.ok(requests.reduce((sum, { sent }) => sum + sent, 0) < WEIGHTS.length + 2 * MiB);
  assert.deepEqual(loaded.begun['model.safetensors'], [WEIGHTS.length]);
});

test('a server that knows no ranges starts over', async () => {
  const expected = host.add('/models/deaf/', model(WEIGHTS));
  host.fault('/models/deaf/model.safetensors', {
    cut: 4.5 * MiB,
    times: 1,
    then: () => host.fault('/models/deaf/model.safetensors', { deaf: true }),
  });
  const loaded = await load('/models/deaf/');
  assert.deepEqual([loaded.sha256, loaded.cached], [expected, true]);
  assert.deepEqual(loaded.begun['model.safetensors'], [WEIGHTS.length, WEIGHTS.length]);
});

test('a file that is replaced while it is fetched is not mixed', async () => {
  const dates = ['Mon, 01 Jan 2024 00:00:00 GMT', 'Tue, 02 Jan 2024 00:00:00 GMT'];
  const other = noise(5 * MiB, 3);
  const ways = {
    tag: [{}, {}, other],
    'tag, by a lax server': [{ lax: true }, { lax: true }, other],
    'date, by a lax server': [
      { lax: true, headers: { etag: null, 'last-modified': dates[0] } },
      { lax: true, headers: { etag: null, 'last-modified': dates[1] } },
      other,
    ],
    'length alone, by a lax server': [
      { lax: true, headers: { etag: '"one"' } },
      { lax: true, headers: { etag: '"one"' } },
      noise(5 * MiB + 7, 3),
    ],
    'nothing to tell it by': [{ lax: true, headers: { etag: null } }, { lax: true, headers: { etag: null } }, other],
  };
  for (const [i, [way, [before, after, contents]]] of Object.entries(ways).entries()) {
    const path = `/models/replaced-${i}/model.safetensors`;
    host.add(`/models/replaced-${i}/`, model(WEIGHTS));
    const then = () => {
      host.files.set(path, contents);
      host.fault(path, after);
    };
    host.fault(path, { ...before, cut: 4.5 * MiB, times: 1, then });
    const loaded = await load(`/models/replaced-${i}/`);
    assert.equal(loaded.sha256['model.safetensors'], hex(contents), way);
  }
});

test('what breaks for good is an error that names the file; the next page goes on from there', async () => {
  const expected = host.add('/models/broken/', model(WEIGHTS));
  const path = '/models/broken/model.safetensors';
  host.fault(path, { cut: 4.5 * MiB, times: 1, then: () => host.fault(path, { status: 503 }) });
  await refused('/models/broken/', { retries: 1 }, 'io', /models\/broken\/model\.safetensors: .*503.*load it again/);
  host.faults.clear();
  host.log.length = 0;
  const loaded = await loadElsewhere('/models/broken/');
  assert.deepEqual([loaded.sha256, loaded.cached], [expected, true]);
  const [request] = host.log.filter(({ method, path: p }) => method === 'GET' && p === path);
  assert.ok(Number(/^bytes=(\d+)-$/.exec(request.headers.range)[1]) >= 4 * MiB, request.headers.range);
});

test('an aborted download rejects at once, and the next page goes on from there', async () => {
  const expected = host.add('/models/abort/', model(WEIGHTS));
  host.fault('/models/abort/model.safetensors', { slow: 40 });
  const aborted = await run(({ abortAt }, url) => abortAt(17 << 18, url), '/models/abort/');
  assert.deepEqual([aborted.name, aborted.isDom], ['AbortError', true]);
  assert.ok(aborted.ms < 500, `${aborted.ms} ms`);
  host.faults.clear();
  host.log.length = 0;
  const loaded = await loadElsewhere('/models/abort/');
  assert.deepEqual([loaded.sha256, loaded.cached], [expected, true]);
  const ranges = host.log.filter(({ path }) => path.endsWith('model.safetensors')).map(({ headers }) => headers.range);
  assert.ok(
    ranges.some((range) => Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1]) >= 4.25 * MiB),
    ranges.join(),
  );
  assert.deepEqual((await load('/models/abort/', { offline: true })).sha256, expected);
  assert.equal(
    await run(async ({ load }, url) => {
      const error = await load(url, { signal: AbortSignal.abort('early') }).catch((e) => e);
      return `${error.name} ${error.cause}`;
    }, '/models/abort/'),
    'AbortError early',
  );
});

test('busy servers are tried again, others are not', async () => {
  const expected = host.add('/models/busy/', model());
  host.fault('/models/busy/config.json', { status: 503, times: 2 });
  assert.deepEqual((await load('/models/busy/')).sha256, expected);
  for (const [status, words] of [
    [401, /refuses it \(status 401\)/],
    [403, /refuses it/],
    [404, /missing/],
  ]) {
    host.add(`/models/status-${status}/`, model());
    host.fault(`/models/status-${status}/config.json`, { status });
    host.take();
    await refused(`/models/status-${status}/`, {}, 'io', words);
    assert.equal(host.take().filter((line) => line.endsWith('/config.json')).length, 1);
  }
  await refused('http://127.0.0.1:9/models/x/', { retries: 0 }, 'io', /127\.0\.0\.1:9.*cannot be reached/);
});

test('integrity decides what is loaded and kept', async () => {
  const good = host.add('/models/sri/', model());
  const sri = `sha256-${Buffer.from(good['model.safetensors'], 'hex').toString('base64')}`;
  const bad = { 'model.safetensors': 'f'.repeat(64) };
  await refused('/models/sri/', { integrity: bad }, 'checkpoint', /sri\/model\.safetensors: its SHA-256 is .* f{64}/);
  host.take();
  const loaded = await load('/models/sri/', {
    integrity: { 'model.safetensors': sri, 'vocab.txt': good['vocab.txt'] },
  });
  assert.equal(loaded.sha256['model.safetensors'], good['model.safetensors']);
  // Nothing was kept of what was wrong.
  assert.ok(host.take().includes('GET /models/sri/model.safetensors'));
  await refused('/models/sri/', { integrity: bad }, 'checkpoint', /SHA-256/);
  for (const integrity of [
    { 'model.safetensor': sri },
    { '../vocab.txt': sri },
    { 'vocab.txt': 'sha384-x' },
    { 'vocab.txt': 7 },
  ]) {
    await refused('/models/sri/', { integrity }, 'option', /^integrity: /);
  }
});

test('sizes are limited before anything is taken', async () => {
  host.add('/models/large/', model());
  host.fault('/models/large/model.safetensors', { headers: { 'content-length': String(5e9) }, cut: 1000 });
  await refused('/models/large/', { retries: 0 }, 'memory', /model\.safetensors needs 5000000000 bytes/);
  host.add('/models/wide/', { ...model(), 'config.json': Buffer.alloc(17 << 20, 32) });
  await refused('/models/wide/', {}, 'config', /config\.json: it is longer than/);
  // Without a length: counted as it comes.
  host.fault('/models/wide/config.json', { headers: { 'transfer-encoding': 'chunked' } });
  await refused('/models/wide/', {}, 'config', /config\.json: it is longer than/);
});

test('a page in place of a missing file is no file', async () => {
  const html = { body: Buffer.from('<!doctype html>'), headers: { 'content-type': 'text/html; charset=utf-8' } };
  const expected = host.add('/models/spa/', model());
  for (const file of ['modules.json', 'tokenizer.json', 'tokenizer_config.json'])
    host.fault(`/models/spa/${file}`, html);
  const loaded = await load('/models/spa/');
  assert.deepEqual(loaded.sha256, expected);
  host.fault('/models/spa/config.json', html);
  await refused('/models/spa/', { cache: false }, 'io', /config\.json/);
});

test('other weights are named, with the help', async () => {
  const { 'model.safetensors': _, ...rest } = model();
  for (const [file, words] of [
    ['pytorch_model.bin', /there is pytorch_model\.bin, .*cloze convert --model/],
    ['onnx/model.onnx', /there is onnx\/model\.onnx/],
    ['README.md', /neither model\.safetensors nor/],
  ]) {
    host.add(`/models/no-${file}/`, { ...rest, [file]: Buffer.from('x') });
    await refused(`/models/no-${file}/`, {}, 'checkpoint', words);
  }
});

test('an adapter is named, with the command that merges it', async () => {
  const adapter = { 'adapter_config.json': Buffer.from('{}'), 'README.md': Buffer.from('x') };
  const { 'vocab.txt': vocab } = model();
  for (const weights of ['adapter_model.bin', 'adapter_model.safetensors']) {
    for (const more of [{}, { 'vocab.txt': vocab }]) {
      host.add('/models/adapter/', { ...adapter, ...more, [weights]: Buffer.from('x') });
      await refused('/models/adapter/', {}, 'checkpoint', /this is an adapter.*cloze convert --model ADAPTER/);
    }
  }
});

test('addresses that are none are refused before any request', async () => {
  host.take();
  for (const url of [
    'ftp://a/b',
    'data:text/plain,x',
    'https://u:p@a.example/m/',
    './model.safetensors',
    'http://',
    'one-word',
  ]) {
    await refused(url, {}, 'option', /^model: /);
  }
  await refused('/models/whole/', { revision: 'a\nb' }, 'option', /^revision: /);
  assert.deepEqual(host.take(), []);
});

test('a report that throws breaks nothing', async () => {
  const expected = host.add('/models/throws/', model(noise(1000)));
  const loaded = await run(
    ({ load }, url) =>
      load(url, {
        onProgress: () => {
          throw new Error('mine');
        },
      }),
    '/models/throws/',
  );
  assert.deepEqual(loaded.sha256, expected);
});

test('small files can be judged before the weights are asked for', async () => {
  host.add('/models/judged/', model());
  host.take();
  const said = await run(async ({ load }, url) => {
    const seen = [];
    const onFile = (file) => {
      seen.push(file);
      if (file === 'vocab.txt') throw new RangeError('not this one');
    };
    const error = await load(url, { onFile }).catch((e) => e);
    return { seen: seen.sort(), error: String(error) };
  }, '/models/judged/');
  assert.deepEqual(said, { seen: ['config.json', 'vocab.txt'], error: 'RangeError: not this one' });
  assert.ok(!host.take().some((line) => line.includes('safetensors')));
});

test('from another origin, with as few headers as it shows', async () => {
  const other = await serve({ '/dist/': 'dist', '/support/': 'tests/support' }, { csp: null });
  const { page } = await openPage(site.context, other.url);
  try {
    host.headers = { 'access-control-allow-origin': '*' };
    const expected = host.add('/models/cors/', model(WEIGHTS));
    host.fault('/models/cors/model.safetensors', { cut: 4.5 * MiB, times: 1, headers: { 'last-modified': 'x' } });
    host.take();
    const loaded = await runIn(page, ({ load }, url) => load(url), `${site.server.url}/models/cors/`, SINKS);
    assert.deepEqual([loaded.sha256, loaded.cached], [expected, true]);
    // No preflight was made.
    assert.ok(!host.take().some((line) => line.startsWith('OPTIONS')));
    // With a digest, the rest is asked for.
    host.fault('/models/cors/model.safetensors', { cut: 4.5 * MiB, times: 1 });
    host.log.length = 0;
    const integrity = { 'model.safetensors': digests({ w: WEIGHTS }).w };
    const options = { integrity, cache: false };
    const again = await runIn(
      page,
      ({ load }, [url, options]) => load(url, options),
      [`${site.server.url}/models/cors/`, options],
      SINKS,
    );
    assert.deepEqual(again.sha256, expected);
    const requests = host.log.filter(({ path }) => path.endsWith('.safetensors'));
    assert.deepEqual(
      requests.map(({ method, headers }) => `${method} ${headers.range}`.replace(/=[1-9]\d+/, '=N')),
      ['GET bytes=0-', 'GET bytes=N-'],
    );
  } finally {
    host.headers = {};
    await page.close();
    await other.close();
  }
});
