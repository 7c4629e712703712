// The loader and the browser's cache: full, forbidden, damaged, shared, and alone without a network. In real Chromium.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openPage, openSite, runIn } from './support/browser.mjs';
import { Host, WEIGHTS, hex, model, noise } from './support/host.mjs';

const SINKS = '/support/sinks.mjs';
const MiB = 1 << 20;
const host = new Host();
let site;

before(async () => {
  site = await openSite('none', { mounts: { '/support/': 'tests/support' }, handle: host.handle });
});
after(() => site?.close());

const run = (body, argument, page = site.page) => runIn(page, body, argument, SINKS);
const load = (url, options = {}, page = site.page) =>
  run(({ load }, [url, options]) => load(url, options), [url, options], page);

/** A page of its own, closed in the end; a context of its own where a test breaks what pages share. */
async function withPage(body, context = site.context) {
  const { page } = await openPage(context, site.server.url);
  try {
    return await body(page);
  } finally {
    await page.close();
  }
}

/** What the cache holds of a file: for each entry, its query and its bytes. */
const kept = (path) =>
  run(async (_, path) => {
    const found = {};
    if (!(await caches.has('cloze-models-v1'))) return found;
    const cache = await caches.open('cloze-models-v1');
    for (const key of await cache.keys()) {
      const at = decodeURIComponent(decodeURIComponent(key.url));
      if (at.includes(path)) found[new URL(key.url).search] = (await (await cache.match(key)).arrayBuffer()).byteLength;
    }
    return found;
  }, path);

const parts = async (path) =>
  Object.entries(await kept(path)).flatMap(([query, bytes]) => (query.includes('part=') ? [bytes] : []));

test('a full cache costs the cache, not the model', async () => {
  const expected = host.add('/models/full/', model(WEIGHTS));
  const loaded = await withPage((page) =>
    run(
      async ({ load }, url) => {
        const put = Cache.prototype.put;
        Cache.prototype.put = function (key, response) {
          if (String(key).includes('safetensors') && String(key).includes('part=1')) {
            throw new DOMException('Quota exceeded.', 'QuotaExceededError');
          }
          return put.call(this, key, response);
        };
        return load(url);
      },
      '/models/full/',
      page,
    ),
  );
  assert.deepEqual([loaded.sha256, loaded.cached], [expected, false]);
  assert.deepEqual(loaded.begun['model.safetensors'], [WEIGHTS.length]);
  assert.deepEqual(await parts('full//model.safetensors'), []);
  assert.deepEqual(await kept('full//?record'), {});
});

test("the browser's own quota", async () => {
  const expected = host.add('/models/quota/', model(WEIGHTS));
  const session = await site.context.newCDPSession(site.page);
  const origin = site.server.url;
  await session.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: 3 * MiB });
  const loaded = await load('/models/quota/');
  assert.deepEqual([loaded.sha256, loaded.cached], [expected, false]);
  assert.deepEqual(await parts('quota//model.safetensors'), []);
  await session.send('Storage.overrideQuotaForOrigin', { origin });
  assert.deepEqual(
    [(await load('/models/quota/')).cached, (await load('/models/quota/', { offline: true })).sha256],
    [true, expected],
  );
});

test('without a cache the model is loaded into memory', async () => {
  const expected = host.add('/models/private/', model());
  const ways = {
    missing: () => delete globalThis.caches,
    forbidden: () =>
      Object.defineProperty(globalThis, 'caches', {
        get() {
          throw new DOMException('no', 'SecurityError');
        },
      }),
    refusing: () => {
      CacheStorage.prototype.open = async () => {
        throw new DOMException('no', 'SecurityError');
      };
    },
    unwritable: () => {
      Cache.prototype.put = async () => {
        throw new DOMException('no', 'InvalidStateError');
      };
    },
    unreadable: () => {
      for (const f of ['match', 'keys', 'put'])
        Cache.prototype[f] = async () => {
          throw new Error('no');
        };
    },
  };
  for (const [way, spoil] of Object.entries(ways)) {
    await withPage(async (page) => {
      await page.evaluate(spoil);
      const loaded = await load('/models/private/', {}, page);
      assert.deepEqual([loaded.sha256, loaded.cached], [expected, false], way);
      const lists = await run(
        async () => {
          const { listModels, deleteModel } = await import('/dist/load/index.js');
          return [await deleteModel('none'), Array.isArray(await listModels())];
        },
        null,
        page,
      );
      assert.deepEqual(lists, [false, true], way);
    });
  }
  assert.equal((await load('/models/private/', { cache: false })).cached, false);
  assert.deepEqual(await parts('private//model.safetensors'), []);
});

test('offline never touches the network', async () => {
  const expected = host.add('/models/offline/', model());
  host.take();
  const refused = (error) => error.code === 'io' && /offline/.test(error.message) && error.name === 'ClozeError';
  await assert.rejects(load('/models/offline/', { offline: true }), refused);
  assert.deepEqual(host.take(), []);
  await load('/models/offline/');
  host.take();
  const requests = site.server.requests.length;
  const loaded = await load('/models/offline/', { offline: true });
  assert.deepEqual([loaded.sha256, loaded.cached, loaded.stale, host.take()], [expected, true, false, []]);
  assert.equal(site.server.requests.length, requests);
  await assert.rejects(
    load('/models/offline/', { offline: true, integrity: { 'vocab.txt': 'a'.repeat(64) } }),
    refused,
  );
});

test('a model whose download broke off is not had offline', async () => {
  host.add('/models/half/', model(WEIGHTS));
  host.fault('/models/half/model.safetensors', { slow: 40 });
  await run(({ abortAt }, url) => abortAt(17 << 18, url), '/models/half/');
  await assert.rejects(
    load('/models/half/', { offline: true }),
    (error) => error.code === 'io' && /offline/.test(error.message),
  );
});

test('where the network is down the cached model will do', async () => {
  const expected = host.add('/models/down/', model());
  await load('/models/down/');
  await withPage(async (page) => {
    await run(async () => void (await import('/dist/load/index.js')), null, page);
    await site.context.setOffline(true);
    try {
      const loaded = await load('/models/down/', {}, page);
      assert.deepEqual([loaded.sha256, loaded.cached, loaded.stale], [expected, true, true]);
      await assert.rejects(
        load('/models/never/', { retries: 0 }, page),
        (error) => error.code === 'io' && /reached/.test(error.message),
      );
    } finally {
      await site.context.setOffline(false);
    }
  });
  // A server that is out of order says nothing about the files.
  host.fault('/models/down/config.json', { status: 500 });
  assert.deepEqual([(await load('/models/down/')).stale, (await load('/models/down/')).sha256], [true, expected]);
});

test('two versions are never mixed, though the network fails between', async () => {
  const old = host.add('/models/between/', model());
  await load('/models/between/');
  const now = host.add('/models/between/', {
    ...model(noise(5000, 7)),
    'config.json': '{"model_type": "bert", "new": 1}',
  });
  host.fault('/models/between/model.safetensors', { status: 500 });
  await assert.rejects(
    load('/models/between/', { retries: 0 }),
    (error) => error.code === 'io' && /status 500/.test(error.message),
  );
  host.faults.clear();
  const loaded = await load('/models/between/');
  assert.deepEqual(loaded.sha256, now);
  assert.notDeepEqual(old, now);
});

test('a damaged file is fetched again; offline it is an error', async () => {
  const expected = host.add('/models/damaged/', model(WEIGHTS));
  const spoil = (how) =>
    run(async (_, how) => {
      const cache = await caches.open('cloze-models-v1');
      const keys = (await cache.keys()).filter(({ url }) => /damaged.*model\.safetensors\?of=.*part=1/.test(url));
      if (keys.length !== 1) throw new Error(`${keys.length} entries`);
      const bytes = new Uint8Array(await (await cache.match(keys[0])).arrayBuffer());
      bytes[12345] ^= 1;
      if (how === 'gone') await cache.delete(keys[0]);
      else await cache.put(keys[0], new Response(how === 'flipped' ? bytes : bytes.slice(how === 'short' ? 1 : 0)));
    }, how);
  for (const how of ['flipped', 'short', 'gone']) {
    await load('/models/damaged/');
    await spoil(how);
    await assert.rejects(
      load('/models/damaged/', { offline: true }),
      (error) => error.code === 'io' && /damaged/.test(error.message),
      how,
    );
    host.take();
    const loaded = await load('/models/damaged/');
    assert.deepEqual([loaded.sha256, loaded.cached], [expected, true], how);
    assert.ok(
      host.take().some((line) => line.startsWith('GET /models/damaged/model.safetensors')),
      how,
    );
    assert.deepEqual((await load('/models/damaged/', { offline: true })).sha256, expected, how);
  }
});

test('a damaged beginning of a broken download does not spoil the rest', async () => {
  const expected = host.add('/models/rotten/', model(WEIGHTS));
  const integrity = { 'model.safetensors': hex(WEIGHTS) };
  host.fault('/models/rotten/model.safetensors', { slow: 40 });
  await run(({ abortAt }, [url, options]) => abortAt(17 << 18, url, options), ['/models/rotten/', { integrity }]);
  await run(async () => {
    const cache = await caches.open('cloze-models-v1');
    const [key] = (await cache.keys()).filter(({ url }) => /rotten.*model\.safetensors\?of=.*part=0/.test(url));
    await cache.put(key, new Response(new Uint8Array(4 << 20), { headers: { 'x-total': String(5 << 20) } }));
  });
  host.faults.clear();
  host.take();
  const loaded = await load('/models/rotten/', { integrity });
  assert.deepEqual([loaded.sha256, loaded.cached], [expected, true]);
  const asked = host.take().filter((line) => line.includes('safetensors'));
  assert.match(asked[0], /bytes=[1-9]/);
  assert.equal(asked.at(-1), 'GET /models/rotten/model.safetensors');
  assert.deepEqual((await load('/models/rotten/', { offline: true })).sha256, expected);
});

test('two pages at once fetch a model once, and both have it', async () => {
  const expected = host.add('/models/twice/', model(WEIGHTS));
  host.fault('/models/twice/model.safetensors', { slow: 5 });
  host.take();
  const both = await withPage((page) =>
    Promise.all([load('/models/twice/'), load('/models/twice/', {}, page), load('/models/twice/')]),
  );
  for (const loaded of both) assert.deepEqual([loaded.sha256, loaded.cached], [expected, true]);
  assert.equal(host.take().filter((line) => line === 'GET /models/twice/model.safetensors').length, 1);
});

test('two pages at once without locks do not harm each other', async () => {
  const expected = host.add('/models/unlocked/', model(WEIGHTS));
  host.fault('/models/unlocked/model.safetensors', { slow: 5 });
  await withPage(async (page) => {
    await page.evaluate(() => Object.defineProperty(Navigator.prototype, 'locks', { value: undefined }));
    const both = await Promise.all([load('/models/unlocked/', {}, page), load('/models/unlocked/', {}, page)]);
    for (const loaded of both) assert.deepEqual(loaded.sha256, expected);
  });
  assert.deepEqual((await load('/models/unlocked/', { offline: true })).sha256, expected);
});

test('who waits for another page can abort; the other goes on', async () => {
  const expected = host.add('/models/waits/', model(WEIGHTS));
  host.fault('/models/waits/model.safetensors', { slow: 40 });
  const first = load('/models/waits/');
  await new Promise((go) => setTimeout(go, 300));
  const name = await withPage((page) =>
    run(
      ({ load }, url) => load(url, { signal: AbortSignal.timeout(200) }).catch((e) => e.name),
      '/models/waits/',
      page,
    ),
  );
  assert.equal(name, 'AbortError');
  assert.deepEqual((await first).sha256, expected);
});

test('models in the cache are listed and deleted', async () => {
  await run(async () => void (await (await import('/dist/load/index.js')).deleteModels()));
  assert.deepEqual(await run(async () => (await import('/dist/load/index.js')).listModels()), []);
  assert.equal(await run(() => caches.has('cloze-models-v1')), false, 'a look makes no cache');
  host.add('/models/one/', model());
  host.add('/models/two/', model(WEIGHTS));
  const began = new Date().toISOString();
  const { name } = await load('/models/one/');
  await load('/models/one/', { revision: 'v1' });
  host.fault('/models/two/model.safetensors', { slow: 40 });
  await run(({ abortAt }, url) => abortAt(17 << 18, url), '/models/two/');
  const list = () => run(async () => (await import('/dist/load/index.js')).listModels());
  const models = (await list()).sort((a, b) =>
    `${a.name} ${a.revision ?? ''}`.localeCompare(`${b.name} ${b.revision ?? ''}`),
  );
  const bytes = Object.values(model()).reduce((sum, file) => sum + file.length, 0);
  assert.deepEqual(
    models.slice(0, 2).map(({ date, ...rest }) => rest),
    [
      { name, bytes, complete: true },
      { name, bytes, complete: true, revision: 'v1' },
    ],
  );
  for (const { date } of models) assert.ok(date >= began && date <= new Date().toISOString(), date);
  assert.deepEqual([models[2].name, models[2].complete], [name.replace('one', 'two'), false]);
  assert.ok(models[2].bytes >= 4.25 * MiB && models[2].bytes < 5 * MiB, `${models[2].bytes}`);

  const remove = (...at) => run(async (_, at) => (await import('/dist/load/index.js')).deleteModel(...at), at);
  assert.deepEqual(
    [await remove(name, 'v2'), await remove(name, 'v1'), await remove(name, 'v1')],
    [false, true, false],
  );
  assert.equal((await list()).length, 2);
  assert.equal(await remove(name), true);
  assert.deepEqual(
    (await list()).map((m) => m.name),
    [models[2].name],
  );
  assert.deepEqual(await kept('/models/one/'), {});
  assert.equal(await run(async () => (await import('/dist/load/index.js')).deleteModels()), true);
  assert.deepEqual(await list(), []);
});
