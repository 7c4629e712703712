// The package in Firefox ESR: on WebAssembly, and on WebGPU behind its preference.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runIn } from './support/browser.mjs';
import { ask, checkAnswers, questions } from './support/expected.mjs';
import { inFirefox } from './support/firefox.mjs';

/** The adapter is then the system's Vulkan driver, which computes in software here. */
const WEBGPU = { 'dom.webgpu.enabled': true, 'gfx.webgpu.ignore-blocklist': true };
/** Within which a call on WebAssembly is stopped. */
const PROMPT = 150;

/** Calls `body` with what runs a function in a page of Firefox, under the strict policy. */
const onPage = (preferences, body) =>
  inFirefox(preferences, [{ '/dist/': 'dist' }], (page) => body((run, argument) => runIn(page, run, argument)));

/** In the page: how long a call that is aborted half way goes on, and whether the pipeline answers afterwards. */
async function abort({ pipeline }, { question, context }) {
  const answer = await pipeline('question-answering');
  const long = context.repeat(200);
  const controller = new AbortController();
  const call = answer(question, long, { signal: controller.signal }).catch(({ name }) => name);
  await new Promise((over) => {
    setTimeout(over, 500);
  });
  const asked = performance.now();
  controller.abort();
  const name = await call;
  const took = performance.now() - asked;
  const [best] = await answer(question, context);
  const { device, reason } = answer;
  await answer.dispose();
  return { name, took, answer: best.answer, device, reason };
}

test('in Firefox, on WebAssembly', async () => {
  await onPage({}, async (run) => {
    const asked = questions(500).slice(0, 20);
    for (const worker of [true, false]) {
      const { found } = await run(ask, { questions: asked, device: 'wasm', worker });
      checkAnswers(asked, found);
    }
    const sentence = 'Ada Lovelace was born in London. ';
    const stopped = await run(abort, { question: 'Where was she born?', context: sentence });
    assert.deepEqual([stopped.name, stopped.answer, stopped.device], ['AbortError', 'London', 'wasm']);
    assert.ok(stopped.took < PROMPT, `${stopped.took} ms`);
  });
});

test('in Firefox, on WebGPU', async () => {
  await onPage(WEBGPU, async (run) => {
    const asked = questions(300).slice(0, 4);
    for (const worker of [true, false]) {
      const { found, counters } = await run(ask, { questions: asked, device: 'webgpu', worker });
      checkAnswers(asked, found);
      assert.equal(counters.readbacks, asked.length, 'one readback a forward');
    }
    const { device, reason } = await run(async ({ pipeline }) => {
      const { device, reason, dispose } = await pipeline('question-answering');
      await dispose();
      return { device, reason };
    });
    assert.equal(device, 'wasm');
    assert.match(reason, /no GPU but in software, slower than the CPU path$/);
  });
});
