// The package as a user gets it: packed, installed into an empty project, built by Vite with no configuration, served
// under a strict policy. And imported where there is no browser.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { build, createServer } from 'vite';
import { launch, openPage } from './support/browser.mjs';
import { FIXTURES } from './support/expected.mjs';
import { vocabulary } from './support/fixtures.mjs';
import { install, pack, run } from './support/packed.mjs';
import { serve, WEB } from './support/server.mjs';

const MOST_PACKED = 26_000_000;
const AREA = resolve(WEB, '../target/consumer');
const APP = join(AREA, 'app');

const CONTEXT = 'Ada Lovelace wrote the first program in 1843, for a machine that was never built.';
const MAIN = `import { pipeline } from 'cloze';

window.ask = async (options) => {
  const answer = await pipeline('question-answering', options);
  const [best] = await answer('Who wrote the first program?', ${JSON.stringify(CONTEXT)});
  const { device, worker } = answer;
  await answer.dispose();
  return { ...best, device, worker };
};
`;

/** No browser's globals: who reads one at import fails. */
const NO_BROWSER = `
for (const name of ['window', 'document', 'self', 'navigator', 'location', 'Worker', 'caches', 'indexedDB', 'localStorage']) {
  Object.defineProperty(globalThis, name, { get() { throw new Error('touches ' + name); } });
}
`;

let browser;
let packed;

/** Vite without a configuration, but for where things are. */
const vite = (options) => ({ root: APP, configFile: false, logLevel: 'warn', ...options });

const list = (dir) => readdirSync(dir, { recursive: true }).map(String);

before(async () => {
  rmSync(AREA, { recursive: true, force: true });
  mkdirSync(APP, { recursive: true });
  packed = pack(AREA);
  install(join(AREA, packed.filename), APP);
  writeFileSync(
    join(APP, 'index.html'),
    '<!doctype html><title>app</title><script type="module" src="/main.js"></script>',
  );
  writeFileSync(join(APP, 'main.js'), MAIN);
  // Browsers ask for it, and a 404 is a problem reported.
  mkdirSync(join(APP, 'public'));
  writeFileSync(join(APP, 'public/favicon.ico'), '');
  browser = await launch('none');
});

after(() => browser?.close());

/** Opens the page and asks, in a worker and in the page. */
async function asks(url, modes = [true, false]) {
  for (const worker of modes) {
    const context = await browser.browser.newContext();
    const { page, problems } = await openPage(context, url);
    await page.waitForFunction('window.ask');
    const best = await page
      .evaluate((options) => window.ask(options), { device: 'wasm', worker })
      .catch((error) => {
        throw new Error(`${error.message}\n${problems.join('\n')}`);
      });
    assert.equal(best.answer, 'Ada Lovelace');
    assert.equal(CONTEXT.slice(best.start, best.end), best.answer);
    assert.equal(best.device, 'wasm');
    assert.equal(best.worker, worker);
    assert.deepEqual(problems, []);
    await context.close();
  }
}

test('the tarball holds what it needs and no more', () => {
  assert.ok(packed.size <= MOST_PACKED, `${packed.size} bytes packed, at most ${MOST_PACKED} are allowed`);
  const files = packed.files.map(({ path }) => path);
  for (const path of [
    'package.json',
    'README.md',
    'LICENSE-MIT',
    'LICENSE-APACHE',
    'dist/index.js',
    'dist/index.d.ts',
    'dist/worker.js',
    'dist/wasm/cloze_bg.wasm',
    'dist/model/model.safetensors',
    'dist/model/README.md',
  ]) {
    assert.ok(files.includes(path), `${path} is missing`);
  }
  const odd = files.filter((path) =>
    path.startsWith('dist/')
      ? !/\.(js|d\.ts|wasm)$|^dist\/model\//.test(path) || /\.test\./.test(path)
      : !['package.json', 'README.md', 'LICENSE-MIT', 'LICENSE-APACHE'].includes(path),
  );
  assert.deepEqual(odd, []);
  const modules = files.filter((path) => path.endsWith('.wasm'));
  assert.deepEqual(modules.sort(), [
    'dist/train/wasm/cloze_bg.wasm',
    'dist/unigram/wasm/cloze_bg.wasm',
    'dist/wasm/cloze_bg.wasm',
  ]);
  for (const name of ['LICENSE-MIT', 'LICENSE-APACHE']) {
    assert.equal(readFileSync(join(WEB, name), 'utf8'), readFileSync(join(WEB, '..', name), 'utf8'), name);
  }
  const { dependencies, peerDependencies } = JSON.parse(readFileSync(join(WEB, 'package.json'), 'utf8'));
  assert.equal(dependencies ?? peerDependencies, undefined, 'no dependencies');
});

test('the modules hold no path of the machine that built them', () => {
  const modules = ['dist/wasm', 'dist/unigram/wasm', 'dist/train/wasm'].map((dir) =>
    readFileSync(join(WEB, dir, 'cloze_bg.wasm'), 'latin1'),
  );
  const text = modules.join();
  for (const path of [resolve(WEB, '..'), process.env.CARGO_HOME ?? join(process.env.HOME ?? '/root', '.cargo')]) {
    assert.ok(!text.includes(path), path);
  }
});

test('Vite builds it without configuration, and it answers under a strict policy', async () => {
  await build(vite());
  const files = list(join(APP, 'dist'));
  // The module for Unigram tokenizers lies beside the other one: a page fetches one of them.
  const modules = files
    .filter((name) => name.endsWith('.wasm'))
    .map((name) => readFileSync(join(APP, 'dist', name), 'base64'));
  assert.deepEqual([modules.length, new Set(modules).size], [2, 2], 'one copy of each module');
  assert.equal(files.filter((name) => name.endsWith('.safetensors')).length, 1, 'one copy of the weights');
  const whole = files
    .map((name) => statSync(join(APP, 'dist', name)))
    .reduce((sum, info) => sum + (info.isFile() ? info.size : 0), 0);
  assert.ok(whole < packed.unpackedSize + 500_000, `${whole} bytes: something is there twice`);
  const server = await serve({ '/': join(APP, 'dist') });
  try {
    await asks(server.url + '/');
  } finally {
    await server.close();
  }
});

test('an app that trains is built alike', async () => {
  writeFileSync(
    join(APP, 'train.html'),
    '<!doctype html><title>app</title><script type="module" src="/train.js"></script>',
  );
  writeFileSync(
    join(APP, 'train.js'),
    `import { train } from 'cloze/train';

window.learn = async (model, examples) => {
  const trainer = await train('text-classification', { model, device: 'wasm', cache: false });
  const losses = [];
  for (let i = 0; i < 2; i++) losses.push((await trainer.step(examples, { rate: 1e-3 })).loss);
  await trainer.dispose();
  return losses;
};
`,
  );
  const input = join(APP, 'train.html');
  await build(vite({ build: { outDir: 'dist-train', rolldownOptions: { input } } }));
  const large = list(join(APP, 'dist-train')).filter((name) => /\.(wasm|safetensors)$/.test(name));
  assert.equal(large.length, 1, `${large}: neither the module that infers nor the default model`);
  const handle = (_, response, { pathname }) => {
    if (pathname.endsWith('/vocab.txt')) response.end(vocabulary(99));
  };
  const server = await serve({ '/': join(APP, 'dist-train'), '/fixtures': FIXTURES }, { handle });
  const { page, problems } = await openPage(browser.browser, `${server.url}/train.html`);
  try {
    await page.waitForFunction('window.learn');
    const [model, examples] = [
      `${server.url}/fixtures/heads/classification/`,
      [{ text: 'a good film', label: 'positive' }],
    ];
    const [first, second] = await page.evaluate(
      ([model, examples]) => window.learn(model, examples),
      [model, examples],
    );
    assert.ok(first > 0 && second > 0 && first !== second, `${first} ${second}`);
    assert.deepEqual(
      problems.filter((problem) => !/status of 404/.test(problem)),
      [],
    );
  } finally {
    await page.close();
    await server.close();
  }
});

test('it answers from a folder below the root of a site', async () => {
  await build(vite({ base: './', build: { outDir: 'dist-below' } }));
  const server = await serve({ '/some/where/': join(APP, 'dist-below') });
  try {
    await asks(server.url + '/some/where/', [true]);
  } finally {
    await server.close();
  }
});

test("Vite's development server serves it without configuration", async () => {
  const server = await createServer(
    vite({ server: { host: '127.0.0.1', port: 0, strictPort: false }, cacheDir: join(AREA, 'cache') }),
  );
  try {
    await server.listen();
    await asks(`http://127.0.0.1:${server.httpServer.address().port}/`);
  } finally {
    await server.close();
  }
});

test('a page takes it without a bundler', async () => {
  const map = { imports: { cloze: '/cloze/index.js' } };
  const server = await serve(
    { '/cloze/': join(APP, 'node_modules/cloze/dist') },
    {
      // An import map stands in the page itself, and needs a policy that lets it.
      csp: null,
      handle(request, response, { pathname }) {
        if (pathname === '/main.js') response.setHeader('content-type', 'text/javascript').end(MAIN);
        else if (pathname === '/app') {
          const head = `<!doctype html><title>app</title><link rel="icon" href="data:,"><script type="importmap">${JSON.stringify(map)}</script>`;
          response.setHeader('content-type', 'text/html').end(`${head}<script type="module" src="/main.js"></script>`);
        }
      },
    },
  );
  try {
    await asks(server.url + '/app');
  } finally {
    await server.close();
  }
});

test('importing it in Node touches no browser global', () => {
  const script = `${NO_BROWSER}
    const cloze = await import('cloze');
    const { train } = await import('cloze/train');
    const entries = ['cloze/worker', 'cloze/train/worker'].map((name) => import.meta.resolve(name).split('cloze/').at(-1));
    console.log(typeof cloze.pipeline, typeof train, ...entries);`;
  const said = run(process.execPath, ['--input-type=module', '-e', script], APP).trim();
  assert.equal(said, 'function function dist/worker.js dist/train/worker.js');
});

test('a bundle for server-side rendering imports it as well', async () => {
  writeFileSync(join(APP, 'server.js'), "export { pipeline } from 'cloze';\n");
  await build(vite({ build: { ssr: 'server.js', outDir: 'dist-ssr' }, ssr: { noExternal: ['cloze'] } }));
  const script = `${NO_BROWSER}console.log(typeof (await import('./dist-ssr/server.js')).pipeline);`;
  assert.equal(run(process.execPath, ['--input-type=module', '-e', script], APP).trim(), 'function');
});
