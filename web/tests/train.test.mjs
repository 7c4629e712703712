// Training in the page, on WebAssembly and on WebGPU: the same fixtures and bounds as the native tests, and what is
// exported read by the native command line.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { openSite } from './support/browser.mjs';
import { alike, FIXTURES } from './support/expected.mjs';
import { sequences, trained, vocabulary } from './support/fixtures.mjs';
import { WEB } from './support/server.mjs';

const CLOZE = join(WEB, '../target/release/cloze');

/** As in tests/training.rs. */
const SEED = 11;
const RATES = Array.from({ length: 10 }, (_, step) => 2e-3 * (step < 2 ? step / 2 : (10 - step) / 8));

const texts = ['a good film', 'the film, so bad'];

/** Examples of a model without tokens' texts, with the losses of ten steps on all of them. */
const CASES = [
  { task: 'question-answering', model: 'encoder/tiny', name: 'tiny', target: (labels, i) => ({ span: labels.slice(2 * i, 2 * i + 2) }) },
  { task: 'text-classification', model: 'heads/classification', name: 'classification', target: (labels, i) => ({ label: labels[i] }) },
].map(({ name, target, ...one }) => {
  const { losses, labels } = trained(name);
  const examples = sequences(one.model).map((sequence, i) => ({ ...sequence, ...target(labels, i) }));
  return { ...one, losses, examples };
});

/** In the page: ten steps; calls that are aborted before they begin, or name what is not there, change nothing. */
async function tenSteps(_, { cases, rates, base, options }) {
  const { train } = await import('/dist/train/index.js');
  const all = [];
  for (const { task, model, examples } of cases) {
    const trainer = await train(task, { ...options, model: `${base}/fixtures/${model}/` });
    const [losses, refused] = [[], []];
    for (const rate of rates) {
      losses.push((await trainer.step(examples, { rate })).loss);
      const signal = AbortSignal.abort();
      refused.push(await trainer.step(examples, { rate: 1, signal }).catch(({ name }) => name));
      const wrong = examples.slice(0, 1).map(({ ids }) => ({ ids: [...ids, 1e6], label: 0, span: [0, 0] }));
      refused.push(await trainer.step(wrong, { rate: 1 }).catch(({ code }) => code));
    }
    const { device, worker } = trainer;
    await trainer.dispose();
    all.push({ losses, refused, device, worker });
  }
  return all;
}

/** In the page: a step that is stopped midway, then what is exported, and what a pipeline makes of it. */
async function stopAndExport({ pipeline }, { examples, texts, base, options, times }) {
  const { train } = await import('/dist/train/index.js');
  const trainer = await train('text-classification', { ...options, model: `${base}/fixtures/heads/classification/` });
  const learn = texts.map((text, i) => ({ text, label: ['positive', 'negative'][i] }));
  for (let i = 0; i < 5; i++) await trainer.step(learn, { rate: 1e-3 });
  const says = async () => (await trainer.predict(texts)).map(({ values }) => [...values]);
  const first = await says();

  const many = Array.from({ length: times }, () => examples).flat();
  const before = (await trainer.counters()).ops;
  const abort = new AbortController();
  const stopped = trainer.step(many, { rate: 1, signal: abort.signal }).then(() => 'done', ({ name }) => name);
  while ((await trainer.counters()).ops === before) await new Promise((over) => setTimeout(over, 5));
  abort.abort();
  const outcome = await stopped;
  const after = await says();

  const files = await trainer.export();
  await trainer.dispose();
  const options_ = { device: 'wasm', worker: false, model: (file) => files.get(file) };
  const classify = await pipeline('text-classification', options_);
  const scores = await classify(texts);
  await classify.dispose();
  const exported = [...files].map(([name, bytes]) => [name, bytes.toBase64?.() ?? btoa(String.fromCharCode(...bytes))]);
  return { first, after, outcome, scores, exported };
}

/** In the page: steps before and after the GPU is lost. */
async function lose(_, { texts, base }) {
  await import('/support/losing.mjs');
  const { train } = await import('/dist/train/index.js');
  const options = { device: 'webgpu', worker: false, cache: false, model: `${base}/fixtures/heads/classification/` };
  const trainer = await train('text-classification', options);
  const step = () => trainer.step(texts.map((text) => ({ text, label: 0 })), { rate: 1e-3 }).then(() => 'done', ({ code }) => code);
  const codes = [await step()];
  new BroadcastChannel('gpu').postMessage('lose');
  await new Promise((over) => setTimeout(over, 100));
  codes.push(await step(), await step());
  const { recoveries } = await trainer.counters();
  await trainer.dispose();
  return { codes, recoveries };
}

/** What the native command line says about the texts. */
function native(files) {
  const dir = mkdtempSync(join(tmpdir(), 'cloze-train-'));
  try {
    for (const [name, text] of files) {
      mkdirSync(dirname(join(dir, name)), { recursive: true });
      writeFileSync(join(dir, name), Buffer.from(text, 'base64'));
    }
    const run = (text) => execFileSync(CLOZE, ['classify', text, '--model', dir, '--device', 'cpu', '--json', '--quiet']);
    return texts.map((text) => run(text).toString().trim().split('\n').map((line) => JSON.parse(line)));
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

const softmax = (logits) => {
  const powers = logits.map((x) => Math.exp(x - Math.max(...logits)));
  return powers.map((p) => p / powers.reduce((a, b) => a + b));
};

for (const device of ['wasm', 'webgpu']) {
  describe(device, () => {
    let site;
    before(async () => {
      // The models of fixtures have no vocabulary.
      const handle = (_, response, { pathname }) => {
        if (pathname.endsWith('/vocab.txt')) response.end(vocabulary(99));
      };
      const mounts = { '/fixtures': FIXTURES, '/support': 'tests/support' };
      site = await openSite(device === 'webgpu' ? 'webgpu' : 'none', { mounts, handle });
    });
    after(() => site?.close());

    for (const worker of [true, false]) {
      test(`ten steps ${worker ? 'in a worker' : 'in the page'} have PyTorch's losses`, async () => {
        const options = { device, worker, seed: SEED, cache: false };
        const found = await site.run(tenSteps, { cases: CASES, rates: RATES, base: site.server.url, options });
        for (const [i, { losses, refused, ...on }] of found.entries()) {
          assert.deepEqual(on, { device, worker });
          alike(losses, CASES[i].losses, CASES[i].task);
          assert.deepEqual(refused, RATES.flatMap(() => ['AbortError', 'input']));
        }
      });
    }

    test('a step that is stopped changes nothing, and the model goes elsewhere as it is', async () => {
      const [, { examples }] = CASES;
      // A step long enough to be stopped.
      const times = device === 'wasm' ? 300 : 60;
      const options = { device, seed: SEED, cache: false };
      const given = { examples, texts, times, base: site.server.url, options };
      const { first, after, outcome, scores, exported } = await site.run(stopAndExport, given);
      assert.equal(outcome, 'AbortError');
      assert.deepEqual(after, first);
      const names = ['negative', 'neutral', 'positive'];
      const own = first.map((logits) => softmax(logits).map((score, i) => ({ label: names[i], score })));
      const ranked = own.map((all) => all.sort((a, b) => b.score - a.score));
      alike(scores, ranked, 'the pipeline');
      alike(native(exported), ranked, 'the command line');
    });

    if (device === 'webgpu') {
      test('a lost GPU takes the training with it', async () => {
        const { codes, recoveries } = await site.run(lose, { texts, base: site.server.url });
        assert.deepEqual(codes, ['done', 'device_lost', 'device_lost']);
        assert.equal(recoveries, 0, 'another device would go on from where training began');
      });
    }
  });
}
