// Builds that follow one another, or lie below several paths of one origin: hosts that have half of one, caches on the way
// that have the other half, tabs that are open meanwhile. No page is ever made of two builds.

import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { launch } from '../../tests/support/browser.mjs';
import { serve } from '../../tests/support/server.mjs';
import { fillWorker, keptFiles, WORKER } from '../kept-files.mjs';
import { ask, DIST } from './support.mjs';

const TYPES = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.wasm': 'application/wasm',
  '.svg': 'image/svg+xml',
};
const LIST = JSON.stringify(JSON.stringify(keptFiles(DIST)));

const later = (ms) =>
  new Promise((over) => {
    setTimeout(over, ms);
  });

/** The files below a directory, by their paths. */
function read(dir) {
  const paths = readdirSync(dir, { recursive: true })
    .map(String)
    .filter((path) => statSync(join(dir, path)).isFile());
  return Object.fromEntries(paths.map((path) => [path, readFileSync(join(dir, path))]));
}

/** A build of the page that calls itself `name`: with other contents, and so with other names of its assets. */
function build(name) {
  const dir = mkdtempSync(join(tmpdir(), 'cloze-page-'));
  try {
    cpSync(DIST, dir, { recursive: true });
    // A part of the old digest stays: there are two modules of one name.
    const renamed = (asset) =>
      asset.replace(/-([\w-]{8})\.(\w+)$/, (_, digest, end) => `-${(name + digest).slice(0, 8)}.${end}`);
    const assets = readdirSync(join(dir, 'assets'));
    for (const path of [
      'index.html',
      ...assets.filter((asset) => /\.(js|css)$/.test(asset)).map((asset) => `assets/${asset}`),
    ]) {
      let text = readFileSync(join(dir, path), 'utf8');
      for (const asset of assets) text = text.replaceAll(asset, renamed(asset));
      writeFileSync(join(dir, path), text.replace('<title>', `<title>${name} `));
    }
    for (const asset of assets) renameSync(join(dir, 'assets', asset), join(dir, 'assets', renamed(asset)));
    const worker = readFileSync(join(dir, WORKER), 'utf8');
    const template = worker.replace(LIST, '"__FILES__"').replace(/(["'`])[0-9a-f]{16}\1/, '"__VERSION__"');
    fillWorker(dir, template);
    return read(dir);
  } finally {
    rmSync(dir, { recursive: true });
  }
}

const [ONE, TWO] = [build('one'), build('two')];

describe('the page, built anew', { concurrency: 1 }, () => {
  /** What lies where: by the path of a folder, a function from a file's path and the request to its bytes. */
  let site = {};
  let headers = {};
  const missed = [];
  let server;
  let browser;

  before(async () => {
    server = await serve(
      {},
      {
        csp: null,
        handle: (request, response, { pathname, search }) => {
          const [folder, file] = Object.entries(site).find(([path]) => pathname.startsWith(path)) ?? [];
          const path = pathname.slice(folder?.length) || 'index.html';
          const bytes = typeof file === 'function' ? file(path, search, request) : file?.[path];
          if (!bytes) {
            missed.push(pathname);
            response.statusCode = 404;
          }
          response.setHeader('content-type', TYPES[extname(path)] ?? 'application/octet-stream');
          for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
          response.end(bytes ?? 'none');
          return true;
        },
      },
    );
    browser = await launch('none');
  });
  after(async () => {
    await browser?.close();
    await server?.close();
  });

  /** A visitor with a browser of their own. */
  async function visitor() {
    const context = await browser.browser.newContext();
    const problems = [];
    const open = async (path = '/') => {
      const page = await context.newPage();
      page.on('pageerror', (error) => problems.push(String(error)));
      await page.goto(server.url + path);
      await isReady(page);
      return page;
    };
    missed.length = 0;
    return { context, open, problems };
  }

  const isReady = (page) => page.waitForSelector('html[data-ready]', { timeout: 15_000 });
  const name = async (page) => (await page.title()).split(' ')[0];
  const isControlled = (page) => page.waitForFunction(() => navigator.serviceWorker.controller);
  const reload = async (page) => {
    await page.reload();
    await isReady(page);
    return name(page);
  };
  const caches = (page) =>
    page.evaluate(async () => (await caches.keys()).filter((key) => !key.startsWith('cloze-models')));
  const answers = async (page, question) => {
    await ask(page, question);
    return page.textContent('#result mark, #text mark');
  };
  /** Lets the browser look for a newer worker, and waits until it has made up its mind: whether one waits. */
  const looks = (page) =>
    page.evaluate(async () => {
      const registration = await navigator.serviceWorker.getRegistration();
      await registration.update().catch(() => {});
      while (registration.installing)
        await new Promise((over) => {
          setTimeout(over, 20);
        });
      return registration.waiting !== null;
    });
  const update = async (page) => {
    await page.waitForSelector('#update:not([hidden])');
    await Promise.all([page.waitForEvent('load'), page.click('#update-now')]);
    await isReady(page);
  };

  test('a worker that meets an older index.html on the host is not installed, until the host has all of its build', async () => {
    for (const cached of ['no-store', 'max-age=3600, immutable']) {
      headers = { 'cache-control': cached };
      site = { '/': ONE };
      const { context, open, problems } = await visitor();
      const page = await open();
      await isControlled(page);
      await ask(page);
      // The files of the new build are there, and a stale page.
      site = { '/': (path) => (path === 'index.html' ? ONE[path] : TWO[path]) };
      assert.equal(await looks(page), false, 'half a build is not taken');
      for (let i = 0; i < 2; i++) assert.equal(await reload(page), 'one');
      assert.ok(await page.isHidden('#update'));
      assert.ok(await answers(page));
      // Now it is whole.
      site = { '/': TWO };
      assert.equal(await looks(page), true);
      assert.equal(await reload(page), 'one', 'until the visitor agrees');
      await update(page);
      missed.length = 0;
      for (let i = 0; i < 2; i++) assert.equal(await reload(page), 'two');
      assert.equal(await name(await open()), 'two');
      assert.ok(await answers(page));
      assert.deepEqual([missed, problems], [[], []]);
      await context.close();
    }
    headers = {};
  });

  test('a first visit meanwhile has a page that works, and the next one the new build', async () => {
    site = { '/': (path) => (path === 'index.html' ? ONE[path] : (TWO[path] ?? ONE[path])) };
    const { context, open, problems } = await visitor();
    const page = await open();
    assert.equal(await name(page), 'one');
    assert.ok(await answers(page));
    await later(1000);
    assert.equal(
      await page.evaluate(async () => (await navigator.serviceWorker.getRegistration())?.active?.state),
      undefined,
    );
    assert.ok(await page.isHidden('#offline'));
    site = { '/': TWO };
    assert.equal(await reload(page), 'two');
    await isControlled(page);
    await context.setOffline(true);
    site = {};
    assert.equal(await reload(page), 'two');
    assert.ok(await answers(page));
    assert.deepEqual(problems, []);
    await context.close();
  });

  test('a cache on the way that keeps an old copy by its address is passed by', async () => {
    site = { '/': (path, search) => (path === 'index.html' && !search ? ONE[path] : (TWO[path] ?? ONE[path])) };
    const { context, open, problems } = await visitor();
    const page = await open();
    await isControlled(page);
    assert.equal(await reload(page), 'two');
    assert.ok(await answers(page));
    assert.deepEqual(problems, []);
    await context.close();
  });

  test('a tab of the older build goes on with its own files when another tab takes the newer, and is offered it', async () => {
    site = { '/': ONE };
    const { context, open, problems } = await visitor();
    const first = await open();
    await isControlled(first);
    const second = await open();
    site = { '/': TWO };
    await looks(first);
    await update(first);
    assert.equal(await name(first), 'two');
    assert.ok(await answers(first));
    assert.equal((await caches(second)).length, 2, 'the older files are kept');
    missed.length = 0;
    // The engine's files were not loaded yet, and the host has them no more.
    assert.equal(await name(second), 'one');
    assert.ok(await answers(second));
    assert.deepEqual([missed, problems], [[], []]);
    await update(second);
    assert.equal(await name(second), 'two');
    await first.waitForFunction(
      async () => (await caches.keys()).filter((key) => !key.startsWith('cloze-models')).length === 1,
    );
    assert.ok(await answers(second));
    await context.close();
  });

  test('builds below several paths of one origin leave each other alone', async () => {
    site = { '/a/b/': ONE, '/a/': ONE, '/b/': TWO };
    const { context, open, problems } = await visitor();
    const pages = [];
    for (const path of ['/a/', '/b/', '/a/b/']) {
      const page = await open(path);
      await isControlled(page);
      await ask(page);
      await page.waitForSelector('#offline:not([hidden])');
      pages.push(page);
    }
    const [a] = pages;
    const names = await caches(a);
    assert.deepEqual(
      names.map((key) => key.replace(/ [0-9a-f]{16}$/, '')).sort(),
      ['/a/', '/a/b/', '/b/'].map((path) => `cloze page ${server.url}${path}`),
    );
    // An update below one of them is no other's.
    site['/a/'] = TWO;
    await looks(a);
    await update(a);
    await a.waitForFunction(
      async (count) => (await caches.keys()).filter((key) => !key.startsWith('cloze-models')).length === count,
      3,
    );
    site = {};
    await context.setOffline(true);
    for (const [i, expected] of ['two', 'two', 'one'].entries()) {
      assert.equal(await reload(pages[i]), expected);
      assert.ok(await answers(pages[i]));
    }
    assert.deepEqual(problems, []);
    await context.close();
  });

  test('what the cache has is checked: what was lost or changed there is fetched anew', async () => {
    site = { '/': ONE };
    const { context, open, problems } = await visitor();
    const page = await open();
    await isControlled(page);
    await page.evaluate(async () => {
      const [key] = (await caches.keys()).filter((name) => !name.startsWith('cloze-models'));
      const cache = await caches.open(key);
      for (const request of await cache.keys()) {
        if (/index\.html$/.test(request.url))
          await cache.put(
            request,
            new Response('<title>changed</title>', { headers: { 'content-type': 'text/html' } }),
          );
        if (/\/index-.*\.js$/.test(request.url)) await cache.delete(request);
      }
    });
    missed.length = 0;
    assert.equal(await reload(page), 'one');
    await context.setOffline(true);
    site = {};
    assert.equal(await reload(page), 'one', 'and is kept again');
    assert.deepEqual(problems, []);
    await context.close();
  });

  test('caches of the former name go, of this page alone', async () => {
    site = { '/a/': ONE, '/': (path) => (path === 'empty.html' ? '<!doctype html>' : undefined) };
    const { context, open } = await visitor();
    const empty = await context.newPage();
    await empty.goto(`${server.url}/empty.html`);
    await empty.evaluate(async () => {
      for (const [name, path] of [
        ['0123456789abcdef', '/a/index.html'],
        ['fedcba9876543210', '/b/index.html'],
      ]) {
        await (await caches.open(`cloze-demo-${name}`)).put(path, new Response('an older page'));
      }
    });
    const page = await open('/a/');
    await isControlled(page);
    await page.waitForFunction(async () => !(await caches.keys()).includes('cloze-demo-0123456789abcdef'));
    assert.ok((await caches(page)).includes('cloze-demo-fedcba9876543210'));
    await context.close();
  });
});
