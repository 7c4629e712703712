// Our encoder and onnxruntime-web's, by turns in one worker of one Chromium: the same weights, tokens and logits. And how
// long the package takes to load.
//
//   npm install --prefix peers onnxruntime-web@1.30.0
//   node benches/web_speed.mjs --models exported --peers peers
//
// `--models` has minilm-l6 as benches/export.py writes it. Figures go to benches/records/web_speed.jsonl.

import { execFileSync } from 'node:child_process';
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { launch, openPage, openSite } from '../web/tests/support/browser.mjs';
import { serve } from '../web/tests/support/server.mjs';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const RECORD = join(ROOT, 'benches/records/web_speed.jsonl');

/** Tokens of the one sequence. */
const LENGTHS = [128, 384];
/** Our median by theirs, at most. */
const MOST_OF_ORT = { wasm: 0.85, webgpu: 1 / 6 };
/** The median with i8 weights by that in f32, at most. */
const MOST_OF_F32 = 1.05;
/** The encoder's FLOP/s on a GPU by those of our best matmul alone, at least. */
const LEAST_SHARE = 0.6;
/** How often the two are compared. */
const SHARES = 5;
/** From the call to a pipeline that is ready, its files in the browser's cache, at most. */
const MOST_LOAD_MS = 1500;
/** How far a logit may be from theirs, in f32. */
const TOLERANCE = 1e-3;

const { values: options } = parseArgs({
  options: {
    models: { type: 'string' },
    peers: { type: 'string' },
    runs: { type: 'string', default: '15' },
    only: { type: 'string', default: 'wasm,webgpu,load' },
  },
});
if (!options.models || !options.peers) {
  throw new Error('usage: web_speed.mjs --models DIR --peers DIR [--runs N] [--only wasm,webgpu,load]');
}

const run = (command, args) =>
  execFileSync(command, args, { cwd: ROOT, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });

/** What every line of the record has. */
function common(browser) {
  const changed = run('git', ['status', '--porcelain', '--untracked-files=no', '--', '.', ':!benches/records']);
  return {
    date: new Date().toISOString().replace(/\.\d+Z$/, 'Z'),
    commit: run('git', ['rev-parse', '--short=12', 'HEAD']).trim() + (changed.trim() ? '+' : ''),
    cpu: cpus()[0]?.model ?? process.arch,
    cores: cpus().length,
    load: Number(loadavg()[0].toFixed(2)),
    browser: `Chromium ${browser.version()}`,
    ort: JSON.parse(readFileSync(join(options.peers, 'node_modules/onnxruntime-web/package.json'), 'utf8')).version,
  };
}

/** A module worker, where the package works by default: frames that a page draws meanwhile are not counted. */
async function openWorker(browser, url) {
  const { page } = await openPage(browser, url + '/');
  page.setDefaultTimeout(0);
  const started = page.waitForEvent('worker');
  await page.evaluate(() => {
    const script = URL.createObjectURL(new Blob([''], { type: 'text/javascript' }));
    globalThis.held = new Worker(script, { type: 'module' });
  });
  return started;
}

/** In the worker: makes `sides[name]`, a function from token ids to logits, a start and an end for each token. */
async function addOurs({ name, device, files }) {
  const cloze = await import(`${origin}/dist/wasm/cloze.js`);
  await cloze.default({ module_or_path: `${origin}/dist/wasm/cloze_bg.wasm` });
  const turn = () =>
    new Promise((over) => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => (port1.close(), over());
      port2.postMessage(null);
    });
  const host = await cloze.Host.open(device, turn);
  const held = new cloze.Files();
  for (const file of ['config.json', 'vocab.txt', 'tokenizer_config.json', 'model.safetensors']) {
    const response = await fetch(origin + files + file);
    if (!response.ok) throw new Error(`${files + file}: ${response.status}`);
    const bytes = new Uint8Array(await response.arrayBuffer());
    held.begin(file, bytes.length);
    held.write(file, bytes);
  }
  const pipeline = cloze.Pipeline.load('question-answering', held, host, '{}');
  globalThis.host = host;
  globalThis.sides ??= {};
  globalThis.sides[name] = (ids) =>
    pipeline.logits(
      Uint32Array.from(ids),
      new Uint32Array(ids.length),
      Uint32Array.of(ids.length),
      new cloze.CancelToken(),
    );
}

/** The same, by onnxruntime-web. */
async function addTheirs({ name, provider, file }) {
  const ort = await import(`${origin}/ort/ort.${provider}.mjs`);
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = `${origin}/ort/`;
  ort.env.logLevel = 'error';
  const session = await ort.InferenceSession.create(origin + file, { executionProviders: [provider] });
  const tensor = (values) => new ort.Tensor('int64', BigInt64Array.from(values, BigInt), [1, values.length]);
  globalThis.sides ??= {};
  globalThis.sides[name] = async (ids) => {
    const [input_ids, token_type_ids, attention_mask] = [ids, ids.map(() => 0), ids.map(() => 1)].map(tensor);
    const { start_logits, end_logits } = await session.run({ input_ids, token_type_ids, attention_mask });
    return Float32Array.from({ length: 2 * ids.length }, (_, i) => (i % 2 ? end_logits : start_logits).data[i >> 1]);
  };
}

/** In the worker: the times in milliseconds of the sides `names`, by turns, after some turns that are not counted, and their logits. */
async function measure({ names, ids, warm, runs }) {
  const found = Object.fromEntries(names.map((name) => [name, { ms: [], logits: [] }]));
  for (let turn = -warm; turn < runs; turn++) {
    for (const name of names) {
      const begun = performance.now();
      const logits = await globalThis.sides[name](ids);
      const ms = performance.now() - begun;
      if (turn >= 0) found[name].ms.push(ms);
      found[name].logits = Array.from(logits);
    }
  }
  return found;
}

const sorted = (ms) => ms.toSorted((a, b) => a - b);
const median = (ms) => sorted(ms)[ms.length >> 1];
const round = (value, digits) => Number(value.toFixed(digits));
const furthest = (a, b) => Math.max(...a.map((value, i) => Math.abs(value - b[i])));

let missed = 0;
function add(line, what, met, figures) {
  missed += met ? 0 : 1;
  appendFileSync(RECORD, JSON.stringify({ ...line, what, ...figures, met }) + '\n');
  const shown = Object.entries(figures).map(([name, value]) => `${name} ${value}`);
  console.log(`${what}: ${shown.join('  ')}  ${met ? 'met' : 'MISSED'}`);
}

const MODEL = resolve(options.models, 'minilm-l6');
const ONNX = '/f32/onnx/model.onnx';
const tokens = (length) => Array.from({ length }, (_, i) => 1000 + ((i * 7919) % 19000));

/** Calls `body` with a worker of a Chromium that can read the models at `/NAME/`, and what its record's lines have. */
async function inWorker(kind, models, body) {
  const ort = resolve(options.peers, 'node_modules/onnxruntime-web/dist');
  const mounts = Object.entries(models).map(([name, folder]) => [`/${name}/`, folder]);
  const server = await serve({ '/dist/': 'dist', '/ort/': ort, ...Object.fromEntries(mounts) }, { csp: null });
  const { browser, close } = await launch(kind);
  try {
    await body(await openWorker(browser, server.url), common(browser));
  } finally {
    await close();
    await server.close();
  }
}

/** What is recorded of one of our sides beside theirs. */
function compared(shape, dtype, side, ort) {
  return {
    model: 'minilm-l6',
    dtype,
    shape,
    median_ms: round(median(side.ms), 1),
    ort_median_ms: round(median(ort.ms), 1),
    min_ms: round(sorted(side.ms)[0], 1),
    ort_min_ms: round(sorted(ort.ms)[0], 1),
    ratio: round(median(side.ms) / median(ort.ms), 3),
    largest_logit_error: Number(furthest(side.logits, ort.logits).toPrecision(3)),
  };
}

/** Our CPU path and theirs, one thread each. */
async function wasm(scratch) {
  const i8 = join(scratch, 'i8');
  const convert = ['convert', '--model', MODEL, '--dtype', 'i8', '--output', i8, '--quiet'];
  run('cargo', ['run', '--quiet', '--release', '--bin', 'cloze', '--', ...convert]);
  await inWorker('none', { f32: MODEL, i8 }, async (worker, line) => {
    await worker.evaluate(addOurs, { name: 'f32', device: 'wasm', files: '/f32/' });
    await worker.evaluate(addOurs, { name: 'i8', device: 'wasm', files: '/i8/' });
    await worker.evaluate(addTheirs, { name: 'ort', provider: 'wasm', file: ONNX });
    for (const length of LENGTHS) {
      // A browser compiles twice, and the second time only what has run for a while.
      const names = ['f32', 'i8', 'ort'];
      const found = await worker.evaluate(measure, { names, ids: tokens(length), warm: 8, runs: Number(options.runs) });
      const f32 = compared(`1x${length}`, 'f32', found.f32, found.ort);
      const isMet = f32.ratio <= MOST_OF_ORT.wasm && f32.largest_logit_error <= TOLERANCE;
      add(line, 'wasm', isMet, { ...f32, threads: 1 });
      const ofF32 = median(found.i8.ms) / median(found.f32.ms);
      const i8 = compared(`1x${length}`, 'i8', found.i8, found.ort);
      add(line, 'wasm', ofF32 <= MOST_OF_F32, { ...i8, threads: 1, of_f32: round(ofF32, 3) });
    }
  });
}

/** Floating point operations of the matmuls and the attention over one sequence, as `cloze bench` counts them. */
function flops(length) {
  const config = JSON.parse(readFileSync(join(MODEL, 'config.json'), 'utf8'));
  const { hidden_size: h, intermediate_size: i, num_hidden_layers: layers } = config;
  const layer = 2 * length * (4 * h * h + 2 * h * i) + 4 * length * length * h;
  return layers * layer + 2 * length * h * 2;
}

/** Both on SwiftShader, where one of their forwards takes up to half a minute. */
async function webgpu() {
  await inWorker('webgpu', { f32: MODEL }, async (worker, line) => {
    await worker.evaluate(addOurs, { name: 'f32', device: 'webgpu', files: '/f32/' });
    await worker.evaluate(addTheirs, { name: 'ort', provider: 'webgpu', file: ONNX });
    for (const length of LENGTHS) {
      const ids = tokens(length);
      const { f32, ort } = await worker.evaluate(measure, { names: ['f32', 'ort'], ids, warm: 1, runs: 3 });
      const figures = compared(`1x${length}`, 'f32', f32, ort);
      add(line, 'webgpu', figures.ratio <= MOST_OF_ORT.webgpu && figures.largest_logit_error <= TOLERANCE, figures);
      await worker.evaluate(measure, { names: ['f32'], ids, warm: 1, runs: 0 });
      const found = [];
      for (let turn = 0; turn < SHARES; turn++) {
        const {
          ms: [ms],
        } = (await worker.evaluate(measure, { names: ['f32'], ids, warm: 0, runs: 1 })).f32;
        const gflops = flops(length) / ms / 1e6;
        const gemm = await worker.evaluate(() => globalThis.host.gemm_gflops());
        found.push({ ms, gflops, gemm, share: gflops / gemm });
      }
      const middle = (name, digits) => round(median(found.map((one) => one[name])), digits);
      add(line, 'webgpu-share', middle('share', 2) >= LEAST_SHARE, {
        model: 'minilm-l6',
        dtype: 'f32',
        shape: `1x${length}`,
        median_ms: middle('ms', 1),
        gflops: middle('gflops', 1),
        gemm_gflops: middle('gemm', 1),
        share: middle('share', 2),
      });
    }
  });
}

/** In the page: how long each of `runs` pipelines takes from the call to being ready, with the default model. */
async function loads({ pipeline }, { device, runs }) {
  const ms = [];
  for (let turn = -1; turn < runs; turn++) {
    const begun = performance.now();
    const answer = await pipeline('question-answering', { device });
    if (turn >= 0) ms.push(performance.now() - begun);
    await answer.dispose();
  }
  return ms;
}

/** The package as a page has it: a new worker for each pipeline, files out of the browser's cache from the second on. */
async function load() {
  for (const [kind, device] of [
    ['none', 'wasm'],
    ['webgpu', 'webgpu'],
  ]) {
    const site = await openSite(kind);
    try {
      const ms = await site.run(loads, { device, runs: Number(options.runs) });
      const [median_ms, min_ms] = [round(median(ms), 1), round(sorted(ms)[0], 1)];
      add(common(site.browser), 'load', median_ms < MOST_LOAD_MS, {
        model: 'default',
        dtype: 'i8',
        device,
        median_ms,
        min_ms,
      });
    } finally {
      await site.close();
    }
  }
}

const STEPS = { wasm, webgpu, load };

const scratch = mkdtempSync(join(tmpdir(), 'web-speed-'));
try {
  run('pkg-scripts/build', []);
  for (const name of options.only.split(',')) {
    if (!(name in STEPS)) throw new Error(`--only takes ${Object.keys(STEPS).join(', ')}`);
    await STEPS[name](scratch);
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
// What hangs in a browser must not hold the command.
process.exit(missed ? 1 : 0);
