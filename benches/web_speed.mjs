// Our encoder and onnxruntime-web's, by turns in one worker of one Chromium: the same weights, tokens and logits.
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

import { launch, openPage } from '../web/tests/support/browser.mjs';
import { serve } from '../web/tests/support/server.mjs';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const RECORD = join(ROOT, 'benches/records/web_speed.jsonl');

/** Tokens of the one sequence. */
const LENGTHS = [128, 384];
/** Our median by theirs, at most. */
const MOST_OF_ORT = 0.85;
/** The median with i8 weights by that in f32, at most. */
const MOST_OF_F32 = 1.05;
/** How far a logit may be from theirs, in f32. */
const TOLERANCE = 1e-3;

const { values: options } = parseArgs({
  options: {
    models: { type: 'string' },
    peers: { type: 'string' },
    runs: { type: 'string', default: '15' },
    only: { type: 'string', default: 'wasm' },
  },
});
if (!options.models || !options.peers) throw new Error('usage: web_speed.mjs --models DIR --peers DIR [--runs N]');

const run = (command, args) => execFileSync(command, args, { cwd: ROOT, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });

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
  globalThis.sides ??= {};
  globalThis.sides[name] = (ids) =>
    pipeline.logits(Uint32Array.from(ids), new Uint32Array(ids.length), Uint32Array.of(ids.length), new cloze.CancelToken());
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

/** In the worker: each side's times in milliseconds, by turns, and its logits. Eight turns go before: a browser compiles twice, and the
 * second time only what has run for a while. */
async function measure({ ids, runs }) {
  const found = Object.fromEntries(Object.keys(globalThis.sides).map((name) => [name, { ms: [], logits: [] }]));
  for (let turn = -8; turn < runs; turn++) {
    for (const [name, forward] of Object.entries(globalThis.sides)) {
      const begun = performance.now();
      const logits = await forward(ids);
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

/** Our CPU path and theirs, one thread each. */
async function wasm(scratch) {
  const i8 = join(scratch, 'i8');
  const f32 = resolve(options.models, 'minilm-l6');
  const convert = ['convert', '--model', f32, '--dtype', 'i8', '--output', i8, '--quiet'];
  run('cargo', ['run', '--quiet', '--release', '--bin', 'cloze', '--', ...convert]);
  const mounts = { '/dist/': 'dist', '/f32/': f32, '/i8/': i8 };
  const server = await serve({ ...mounts, '/ort/': resolve(options.peers, 'node_modules/onnxruntime-web/dist') }, { csp: null });
  const { browser, close } = await launch('none');
  try {
    const worker = await openWorker(browser, server.url);
    await worker.evaluate(addOurs, { name: 'f32', device: 'wasm', files: '/f32/' });
    await worker.evaluate(addOurs, { name: 'i8', device: 'wasm', files: '/i8/' });
    await worker.evaluate(addTheirs, { name: 'ort', provider: 'wasm', file: '/f32/onnx/model.onnx' });
    const line = common(browser);
    for (const length of LENGTHS) {
      const ids = Array.from({ length }, (_, i) => 1000 + ((i * 7919) % 19000));
      const { f32, i8, ort } = await worker.evaluate(measure, { ids, runs: Number(options.runs) });
      for (const [dtype, side] of Object.entries({ f32, i8 })) {
        const ratio = median(side.ms) / median(ort.ms);
        const error = furthest(side.logits, ort.logits);
        const ofF32 = median(side.ms) / median(f32.ms);
        const met = dtype === 'f32' ? ratio <= MOST_OF_ORT && error <= TOLERANCE : ofF32 <= MOST_OF_F32;
        add(line, 'wasm', met, {
          model: 'minilm-l6',
          dtype,
          shape: `1x${length}`,
          threads: 1,
          median_ms: round(median(side.ms), 1),
          ort_median_ms: round(median(ort.ms), 1),
          min_ms: round(sorted(side.ms)[0], 1),
          ort_min_ms: round(sorted(ort.ms)[0], 1),
          ratio: round(ratio, 3),
          ...(dtype === 'i8' && { of_f32: round(ofF32, 3) }),
          largest_logit_error: Number(error.toPrecision(3)),
        });
      }
    }
  } finally {
    await close();
    await server.close();
  }
}

const STEPS = { wasm };

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
