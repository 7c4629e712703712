// What takes long can be stopped, and the page goes on meanwhile.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { DIST, FIRST, FIXTURES, ask, marked, openDemo, says } from './support.mjs';

/** What stopping may take, and what an input may wait for the page to show it, in milliseconds. */
const PROMPT = 150;
const ANSWERED = 200;

const LONG = readFileSync(`${FIXTURES}/answers/time-machine.txt`, 'utf8');

/** Presses a button and gives the milliseconds until an element says something that fits. */
function pressed(page, button, selector, pattern) {
  return page.evaluate(
    ([button, selector, source]) =>
      new Promise((resolve) => {
        const place = document.querySelector(selector);
        const began = performance.now();
        const look = () => {
          if (new RegExp(source).test(place.textContent)) resolve(performance.now() - began);
          else setTimeout(look, 2);
        };
        document.querySelector(button).click();
        look();
      }),
    [button, selector, pattern.source],
  );
}

describe('loading', () => {
  let demo;
  let isSlow = true;
  let sent = 0;
  before(async () => {
    demo = await openDemo('none', {
      /** The weights come slowly. */
      handle: async (request, response, url) => {
        if (!isSlow || !url.pathname.endsWith('.safetensors')) return false;
        const bytes = readFileSync(DIST + url.pathname);
        response.setHeader('content-length', bytes.length);
        for (let at = 0; at < bytes.length && !response.destroyed; at += 1 << 20) {
          response.write(bytes.subarray(at, at + (1 << 20)));
          sent = at;
          await new Promise((resolve) => {
            setTimeout(resolve, 150);
          });
        }
        response.end();
        return true;
      },
    });
  });
  after(() => demo?.close());

  test('says its size before, how far it is, and can be cancelled', async () => {
    const { context, page, problems } = await demo.open();
    assert.match(await page.textContent('#panel-ask .model-state'), /^24 MB, downloaded once$/);
    assert.ok(!demo.server.requests.some((path) => /safetensors|vocab/.test(path)), 'nothing is loaded unasked');
    await page.click('#panel-ask .model-line .quiet');
    await says(page, '#panel-ask .model-state', /^[1-9]\d*(\.\d)? MB of 24 MB$/);
    const share = await page.$eval('#panel-ask .model progress', (bar) => bar.value);
    assert.ok(share > 0 && share < 1, `${share}`);
    const took = await pressed(page, '#panel-ask .model-line .stop', '#panel-ask .model .status', /stopped/);
    assert.ok(took < PROMPT, `${took} ms`);
    const then = sent;
    await page.waitForTimeout(500);
    assert.ok(sent <= then + (3 << 20), 'the download has ended');

    // The same by asking, and by its own button.
    await page.click('#ask-go');
    await says(page, '#panel-ask .model-state', /MB of 24 MB/);
    assert.ok((await pressed(page, '#ask-stop', '#ask-status', /Stopped/)) < PROMPT);
    isSlow = false;
    await ask(page);
    assert.equal((await marked(page)).mark, FIRST.answer);
    assert.deepEqual(problems, []);
    await context.close();
  });
});

describe('a file of 5 MB', () => {
  let demo;
  before(async () => {
    demo = await openDemo();
  });
  after(() => demo?.close());

  test('is shown, estimated, run and stopped, and the page answers all the while', async () => {
    const { context, page, problems } = await demo.open();
    // So that loading is not part of what is measured.
    await ask(page);
    const dropped = await page.evaluate(
      (text) =>
        new Promise((resolve) => {
          const whole = `${text}\n\n`.repeat(Math.ceil(5e6 / text.length));
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File([whole], 'long.txt', { type: 'text/plain' }));
          const began = performance.now();
          document.dispatchEvent(new DragEvent('drop', { dataTransfer, bubbles: true, cancelable: true }));
          const look = () => {
            const { length } = document.querySelector('#text').textContent;
            if (length === whole.length)
              resolve({ took: performance.now() - began, length, nodes: document.querySelectorAll('#text *').length });
            else setTimeout(look, 20);
          };
          look();
        }),
      LONG,
    );
    assert.ok(dropped.length >= 5e6);
    assert.ok(dropped.nodes < 3000, `${dropped.nodes} elements`);
    await page.waitForFunction(() => document.querySelector('#heat').ariaValueNow === '0');
    assert.ok(dropped.took < 3000, `${dropped.took} ms`);

    await page.fill('#question', 'Who has red hair?');
    await page.click('#ask-go');
    await says(page, '#ask-long-text', /about [\d.]+ million tokens. It takes about \d+(\.\d)? (minutes|hours)/);
    assert.equal(await page.evaluate(() => document.activeElement.id), 'ask-anyway');
    const estimate = await page.textContent('#ask-long-text');
    await page.click('#ask-anyway');
    await says(page, '#ask-status', /Reading, for about/);

    // Typing, scrolling, other tabs: each is on the screen soon after.
    await page.evaluate(() => {
      window.waits = [];
      for (const type of ['keydown', 'input', 'click', 'scroll']) {
        addEventListener(
          type,
          ({ timeStamp }) =>
            requestAnimationFrame(() =>
              setTimeout(() => {
                window.waits.push([type, performance.now() - timeStamp]);
              }),
            ),
          true,
        );
      }
    });
    const until = Date.now() + 3000;
    for (let i = 0; Date.now() < until; i++) {
      await page.focus('#question');
      await page.keyboard.type('ab');
      await page.mouse.move(400, 400);
      await page.mouse.wheel(0, 3000);
      await page.click(i % 2 ? '#tab-search' : '#tab-blanks');
      await page.click('#tab-ask');
    }
    const waits = await page.evaluate(() => window.waits);
    assert.ok(waits.length > 20, `${waits.length} inputs`);
    const worst = waits.reduce((most, one) => (one[1] > most[1] ? one : most));
    assert.ok(worst[1] < ANSWERED, `${worst}`);

    assert.match(await page.textContent('#ask-status'), /Reading/, `it still runs, ${estimate}`);
    assert.ok(await page.$eval('#ask-progress', ({ hidden, value }) => !hidden && value > 0 && value < 1));
    const took = await pressed(page, '#ask-stop', '#ask-status', /Stopped/);
    assert.ok(took < PROMPT, `${took} ms`);
    assert.ok(await page.isHidden('#ask-progress'));

    // What was stopped is over: the next text is answered as if nothing had been.
    await page.selectOption('#sample', 'ada');
    await ask(page, FIRST.question);
    assert.equal((await marked(page)).mark, FIRST.answer);
    assert.deepEqual(problems, []);
    await context.close();
  });
});
