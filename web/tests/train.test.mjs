// Training in the page, on WebAssembly and on WebGPU: the same fixtures and bounds as the native tests, and what is
// exported read by the native command line.
//
//   CLOZE_TRAINED=DIR node --test web/tests/train.test.mjs     leaves in DIR what tests/oracle/page.py gives to peft

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openSite } from './support/browser.mjs';
import { alike, FIXTURES, read } from './support/expected.mjs';
import { sequences, trained, vocabulary } from './support/fixtures.mjs';
import { WEB } from './support/server.mjs';

const CLOZE = join(WEB, '../target/release/cloze');

/** As in tests/training/pytorch.rs. */
const SEED = 11;
const RATES = Array.from({ length: 10 }, (_, step) => 2e-3 * (step < 2 ? step / 2 : (10 - step) / 8));

const TEXTS = ['a good film', 'the film, so bad'];

/** A model's batch with its labels, and PyTorch's losses of ten steps on it. */
function oracle(model, name, target) {
  const { losses, labels } = trained(name);
  const examples = sequences(model).map((sequence, i) => ({ ...sequence, ...target(labels, i) }));
  return { model: `/fixtures/${model}/`, losses, examples };
}

const QUESTIONS = oracle('encoder/tiny', 'tiny', (labels, i) => ({ span: labels.slice(2 * i, 2 * i + 2) }));
const TEXT_CLASSES = oracle('heads/classification', 'classification', (labels, i) => ({ label: labels[i] }));

/** The same models with adapters that begin as the seed says: the losses of tests/oracle/lora_losses.py. */
const ADAPTERS = { method: 'lora', loraR: 4, loraAlpha: 8 };
const adapted = (of, name) => ({ ...of, losses: read('train/lora-losses.json')[name] });

/** In the page: ten steps; calls that are aborted before they begin, or have ids that are none, change nothing. */
async function tenSteps(_, { task, options, examples, rates }) {
  const { train } = await import('/dist/train/index.js');
  const trainer = await train(task, { ...options, cache: false });
  const [losses, norms, refused] = [[], [], []];
  // Gradients of a step that is given up count for none.
  await trainer.accumulate(examples, { share: 0.5 });
  await trainer.accumulate(examples, { signal: AbortSignal.abort() }).catch(() => {});
  for (const rate of rates) {
    const { loss, gradientNorm } = await trainer.step(examples, { rate });
    losses.push(loss);
    norms.push(gradientNorm);
    const signal = AbortSignal.abort();
    refused.push(await trainer.step(examples, { rate: 1, signal }).catch(({ name }) => name));
    const wrong = [{ ...examples[0], ids: examples[0].ids.map(() => 1e6) }];
    refused.push(await trainer.step(wrong, { rate: 1 }).catch(({ code }) => code));
  }
  // For what comes after, in the page.
  window.trainer = trainer;
  const { device, worker } = trainer;
  return { losses, norms, refused, device, worker };
}

/** In the page: what the model says, its files, and what a pipeline makes of adapters and base as one model. */
async function finish({ pipeline }, { texts }) {
  const { trainer } = window;
  const said = (await trainer.predict(texts)).map(({ values }) => [...values]);
  const unnamed = await trainer.export().catch(({ code, message }) => `${code} ${message}`);
  const files = await trainer.export({ base: '../base' });
  const merged = await trainer.export({ merged: true });
  await trainer.dispose();
  const given = { device: 'wasm', worker: false, model: (file) => merged.get(file) };
  const classify = await pipeline('text-classification', given);
  const scores = await classify(texts);
  await classify.dispose();
  return {
    said,
    scores,
    unnamed,
    exported: [...files].map(([name, bytes]) => [name, btoa(String.fromCharCode(...bytes))]),
  };
}

/** In the page: a step that is stopped midway; what is exported, and what a pipeline makes of it. */
async function stopAndExport({ pipeline }, { examples, texts, times }) {
  const { trainer } = window;
  const says = async () => (await trainer.predict(texts)).map(({ values }) => [...values]);
  const first = await says();
  const many = Array.from({ length: times }, () => examples).flat();
  const abort = new AbortController();
  const { ops } = await trainer.counters();
  const stopped = trainer.step(many, { rate: 1, signal: abort.signal }).then(
    () => 'done',
    ({ name }) => name,
  );
  while ((await trainer.counters()).ops === ops) await new Promise((over) => setTimeout(over, 5));
  abort.abort();
  const outcome = await stopped;
  const after = await says();

  const files = await trainer.export();
  const given = { device: 'wasm', worker: false, model: (file) => files.get(file) };
  const classify = await pipeline('text-classification', given);
  const scores = await classify(texts);
  await classify.dispose();
  const exported = [...files].map(([name, bytes]) => [name, btoa(String.fromCharCode(...bytes))]);
  return { first, after, outcome, scores, exported };
}

/** In the page: steps once the GPU is lost. */
async function lose(_, { examples }) {
  const { trainer } = window;
  new BroadcastChannel('gpu').postMessage('lose');
  await new Promise((over) => setTimeout(over, 100));
  const step = () => trainer.step(examples, { rate: 1e-3 }).catch(({ code }) => code);
  const codes = [await step(), await step()];
  const { recoveries } = await trainer.counters();
  await trainer.dispose();
  return { codes, recoveries };
}

/** What the native command line says about the texts, by a model of these files; an adapter's base lies beside it. */
function native(files, device, said) {
  const area = mkdtempSync(join(tmpdir(), 'cloze-train-'));
  const [base, dir] = ['base', device].map((name) => join(area, name));
  try {
    cpSync(join(FIXTURES, 'heads/classification'), base, { recursive: true });
    writeFileSync(join(base, 'vocab.txt'), vocabulary(99));
    mkdirSync(dir);
    for (const [name, text] of files) writeFileSync(join(dir, name), Buffer.from(text, 'base64'));
    if (process.env.CLOZE_TRAINED && said) {
      writeFileSync(join(dir, 'said.json'), JSON.stringify(TEXTS.map((text, i) => ({ text, logits: said[i] }))));
      cpSync(area, process.env.CLOZE_TRAINED, { recursive: true });
    }
    const run = (text) =>
      execFileSync(CLOZE, ['classify', text, '--model', dir, '--device', 'cpu', '--json', '--quiet']);
    return TEXTS.map((text) =>
      run(text)
        .toString()
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line)),
    );
  } finally {
    rmSync(area, { recursive: true, force: true });
  }
}

/** A classifier's logits as its pipeline gives them. */
function ranked(logits) {
  const powers = logits.map((x) => Math.exp(x - Math.max(...logits)));
  const sum = powers.reduce((a, b) => a + b);
  const scored = ['negative', 'neutral', 'positive'].map((label, i) => ({ label, score: powers[i] / sum }));
  return scored.sort((a, b) => b.score - a.score);
}

for (const device of ['wasm', 'webgpu']) {
  describe(device, () => {
    let site;
    before(async () => {
      // The models of fixtures have no vocabulary.
      const handle = (_, response, { pathname }) => {
        if (pathname.startsWith('/fixtures/') && pathname.endsWith('/vocab.txt')) response.end(vocabulary(99));
      };
      const mounts = { '/fixtures': FIXTURES, '/support': 'tests/support' };
      site = await openSite(device === 'webgpu' ? 'webgpu' : 'none', { mounts, handle });
    });
    after(() => site?.close());

    // Before anything is trained there.
    if (device === 'wasm')
      test('a page that infers loads nothing of training', async () => {
        await site.run(async ({ pipeline }) => {
          for (const worker of [true, false]) {
            const answer = await pipeline('question-answering', { device: 'wasm', worker });
            await answer('Who?', 'Ada Lovelace.');
            await answer.dispose();
          }
        });
        assert.deepEqual(
          site.server.requests.filter((path) => path.includes('train')),
          [],
        );
      });

    /** Ten steps, on the page's device as the options say, against PyTorch's. */
    async function check(task, { model, losses, examples }, given) {
      const options = { ...given, device, seed: SEED, model: site.server.url + model };
      const found = await site.run(tenSteps, { task, options, examples, rates: RATES });
      assert.deepEqual([found.device, found.worker], [device, given.worker]);
      alike(found.losses, losses, task);
      assert.ok(
        found.norms.every((norm) => norm > 0),
        found.norms.join(),
      );
      assert.deepEqual(
        found.refused,
        RATES.flatMap(() => ['AbortError', 'input']),
      );
    }

    test("ten steps in a worker have PyTorch's losses", async () => {
      await check('question-answering', QUESTIONS, { worker: true });
      await site.run(() => window.trainer.dispose());
    });

    test('ten steps of adapters have the losses of native ones, and go elsewhere as they are', async () => {
      if (device === 'wasm') {
        await check('question-answering', adapted(QUESTIONS, 'tiny'), { ...ADAPTERS, worker: true });
        await site.run(() => window.trainer.dispose());
      }
      const all = { ...ADAPTERS, loraDropout: 0.25, loraTargets: ['query', 'key', 'value', 'dense'] };
      await check('text-classification', adapted(TEXT_CLASSES, 'classification'), { ...all, worker: true });
      const { said, scores, unnamed, exported } = await site.run(finish, { texts: TEXTS });
      const names = exported.map(([name]) => name).sort();
      assert.deepEqual(names, ['adapter_config.json', 'adapter_model.safetensors', 'config.json', 'vocab.txt']);
      assert.match(unnamed, /^option base: adapters name the model that they are of/);
      const own = said.map(ranked);
      alike(native(exported, device, said), own, 'the command line');
      alike(scores, own, 'the pipeline');
    });

    test("ten steps in the page have PyTorch's losses", async () => {
      if (device === 'webgpu') await site.run(async () => void (await import('/support/losing.mjs')));
      await check('text-classification', TEXT_CLASSES, { worker: false });
    });

    test('a step that is stopped changes nothing, and the model goes elsewhere as it is', async () => {
      // So many that the step can be stopped.
      const times = device === 'wasm' ? 300 : 60;
      const { examples } = TEXT_CLASSES;
      const given = { examples, texts: TEXTS, times };
      const { first, after, outcome, scores, exported } = await site.run(stopAndExport, given);
      assert.equal(outcome, 'AbortError');
      assert.deepEqual(after, first);
      const own = first.map(ranked);
      alike(scores, own, 'the pipeline');
      alike(native(exported, device), own, 'the command line');
    });

    if (device === 'webgpu') {
      test('a lost GPU takes the training with it', async () => {
        const { codes, recoveries } = await site.run(lose, TEXT_CLASSES);
        assert.deepEqual(codes, ['device_lost', 'device_lost']);
        assert.equal(recoveries, 0, 'another device would go on from where training began');
      });
    }
  });
}
