// On a GPU, and when it is lost.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { ask, FIRST, marked, openDemo } from './support.mjs';

/** Goes before the package's worker. */
const LOSING = readFileSync(new URL('../../tests/support/losing.mjs', import.meta.url), 'utf8');

describe('a GPU', () => {
  let demo;
  before(async () => {
    demo = await openDemo('webgpu');
  });
  after(() => demo?.close());

  test('is taken when it is asked for, and its loss costs no answer', async () => {
    const { context, page, problems } = await demo.open({
      prepare: async (context) => {
        // What a service worker fetches is not seen here.
        await context.addInitScript(() => {
          ServiceWorkerContainer.prototype.register = () => Promise.reject(new DOMException('no', 'SecurityError'));
        });
        await context.route('**/assets/worker-*.js', async (route) => {
          const response = await route.fetch();
          await route.fulfill({ response, body: LOSING + (await response.text()) });
        });
      },
    });
    await page.selectOption('#device', 'webgpu');
    await ask(page);
    assert.equal((await marked(page)).mark, FIRST.answer);
    assert.match(await page.textContent('#facts'), /DeviceWebGPU$/);
    assert.match(await page.textContent('#reason'), /^Why WebGPU: .{5,}/);
    assert.match(await page.textContent('#panel-ask .model-state'), /ready, on WebGPU/);

    await page.evaluate(() => new BroadcastChannel('gpu').postMessage('lose'));
    await page.waitForTimeout(100);
    await ask(page, 'When did Ada die?');
    assert.equal((await marked(page)).mark, '27 November 1852');
    assert.match(await page.textContent('#facts'), /GPU lost, opened againonce/);
    assert.deepEqual(problems, []);

    await page.selectOption('#device', 'wasm');
    await ask(page, FIRST.question);
    assert.match(await page.textContent('#facts'), /DeviceWebAssembly$/);
    assert.match(await page.textContent('#reason'), /^Why WebAssembly: .{5,}/);
    await context.close();
  });
});
