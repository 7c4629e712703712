// In a worker, loading and answering leave the page alone: no task of its main thread takes over 50 ms, which is what the
// browser calls long.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openSite } from './support/browser.mjs';

let site;
before(async () => {
  site = await openSite('none');
});
after(() => site?.close());

/** Runs in the page: the long tasks, in milliseconds, while it loads and answers. */
async function work({ pipeline }, { worker, busy }) {
  const tasks = [];
  const observer = new PerformanceObserver((list) => tasks.push(...list.getEntries().map(({ duration }) => duration)));
  observer.observe({ type: 'longtask' });
  // Entries are delivered by a task of their own, a while later.
  const settled = () => new Promise((over) => setTimeout(over, 300));
  const answer = await pipeline('question-answering', { device: 'wasm', worker });
  const sentences = Array.from({ length: 60 }, (_, i) => `Visitor ${i} came from the town of Number ${i} by train.`);
  const [best] = await answer('Where did visitor 7 come from?', sentences.join(' '));
  if (busy) {
    const end = performance.now() + busy;
    while (performance.now() < end);
  }
  await settled();
  await answer.dispose();
  observer.disconnect();
  return { best, tasks };
}

test('in a worker no task of the main thread takes over 50 ms', async () => {
  const { page, run } = await site.freshPage();
  const { best, tasks } = await run(work, { worker: true });
  assert.ok(best.answer.length > 0);
  assert.deepEqual(tasks, []);
  await page.close();
});

test('the observer sees a long task where there is one', async () => {
  const { page, run } = await site.freshPage();
  const { tasks } = await run(work, { worker: true, busy: 80 });
  assert.equal(tasks.length, 1);
  assert.ok(tasks[0] >= 80, `${tasks[0]} ms`);
  await page.close();
});
