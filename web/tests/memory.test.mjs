// Create, ask, dispose, again and again: memory ends where it was after the second round.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readFileSync } from 'node:fs';
import { openSite } from './support/browser.mjs';

const MOST_GROWTH = 1.1;

/** What the page's and the GPU's processes hold for themselves alone, in bytes. */
async function residentBytes(browser) {
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send('SystemInfo.getProcessInfo');
  await session.detach();
  return processInfo
    .filter(({ type }) => type === 'renderer' || type === 'GPU')
    .map(({ id }) => {
      const rollup = readFileSync(`/proc/${id}/smaps_rollup`, 'utf8');
      return [...rollup.matchAll(/^Private_(?:Clean|Dirty): +(\d+) kB/gm)].reduce((sum, [, kb]) => sum + kb * 1024, 0);
    })
    .reduce((sum, bytes) => sum + bytes, 0);
}

/** The least of some measurements, each after a collection: what is freed is given back a little later. */
async function settledBytes(site, session, enough = 0) {
  let least = Infinity;
  for (let i = 0; i < 12 && least > enough; i++) {
    await session.send('HeapProfiler.collectGarbage');
    await new Promise((over) => setTimeout(over, 250));
    least = Math.min(least, await residentBytes(site.browser));
    if (enough === 0 && i === 5) break;
  }
  return least;
}

/** Runs in the page. */
async function round({ pipeline }, options) {
  const context = 'Ada Lovelace wrote the first program in 1843.';
  const answer = await pipeline('question-answering', options);
  const [best] = await answer('Who wrote the first program?', context);
  const { device } = answer;
  await answer.dispose();
  return { answer: best.answer, device };
}

async function holds(t, kind, options, rounds) {
  const site = await openSite(kind);
  try {
    const session = await site.context.newCDPSession(site.page);
    const once = async () =>
      assert.deepEqual(await site.run(round, options), { answer: 'Ada Lovelace', device: options.device });
    await once();
    await once();
    const second = await settledBytes(site, session);
    for (let i = 2; i < rounds; i++) await once();
    const last = await settledBytes(site, session, second * MOST_GROWTH);
    const mb = (bytes) => (bytes / 1e6).toFixed(1);
    t.diagnostic(`${mb(second)} MB after round 2, ${mb(last)} MB after round ${rounds}`);
    assert.ok(last <= second * MOST_GROWTH, `${mb(second)} MB after round 2, ${mb(last)} MB after round ${rounds}`);
    assert.deepEqual(site.problems, []);
  } finally {
    await site.close();
  }
}

for (const worker of [true, false]) {
  const where = worker ? 'a worker' : 'the page';
  test(`50 rounds on wasm in ${where} keep no memory`, (t) => holds(t, 'none', { device: 'wasm', worker }, 50));
  test(`6 rounds on WebGPU in ${where} keep no memory`, (t) => holds(t, 'webgpu', { device: 'webgpu', worker }, 6));
}
