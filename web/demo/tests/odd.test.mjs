// What is out of the ordinary: texts of other scripts, texts too long for a link or the editor, changes while something runs.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ask, drop, marked, openDemo, says } from './support.mjs';

/** A second of work and more. */
const SLOW = 'The castle was built by the king of the hill in the year of the great storm. '.repeat(60);

describe('out of the ordinary', () => {
  let demo;
  let opened;
  before(async () => {
    demo = await openDemo();
    opened = await demo.open();
  });
  after(() => demo?.close());

  const lay = async (page, text, name = 'text.txt') => {
    await drop(page, [name, text, 'text/plain']);
    await page.waitForFunction((text) => document.querySelector('#text').textContent === text, text);
  };

  test('an answer is marked with the accents behind its last letter', async () => {
    const { page } = opened;
    for (const [text, answer] of [
      ['Ada lives in Rome\u0301\u0302.', 'Rome\u0301\u0302'],
      ['🙂 Ada 👩‍👩‍👧 lives in Rome\ufe0f, they say.', 'Rome\ufe0f'],
      ['Ada lives in Ro\u200bm\u00ade.', 'Ro\u200bm\u00ade'],
    ]) {
      await lay(page, text);
      await ask(page, 'Where is Ada?');
      const { mark, start } = await marked(page);
      assert.deepEqual([mark, start], [answer, text.indexOf(answer)]);
      assert.equal(await page.textContent('.ranked[aria-current=true] .ranked-text'), answer);
      assert.equal(await page.textContent('.kept-answer'), answer);
    }
  });

  test('each paragraph runs its own way, and a file’s name turns nothing around', async () => {
    const { page } = opened;
    await lay(page, 'ولدت آدا في لندن.\n\nAda was born in London.', '\u202etxt.exe.txt');
    const { right, left } = await page.$eval('#text', (frame) => {
      const node = frame.querySelector('.block').firstChild;
      const box = (from, to) => {
        const range = document.createRange();
        range.setStart(node, from);
        range.setEnd(node, to);
        return range.getBoundingClientRect();
      };
      const edges = frame.querySelector('.block').getBoundingClientRect();
      const at = node.data.indexOf('Ada');
      return { right: edges.right - box(0, 1).right, left: box(at, at + 1).left - edges.left };
    });
    assert.ok(right < 5, `Arabic begins ${right} from the right`);
    assert.ok(left < 5, `English begins ${left} from the left`);
    assert.equal(await page.textContent('#title'), 'txt.exe.txt');
    assert.doesNotMatch(await says(page, '#desk-status', /^Opened/), /\u202e/);
  });

  test('a text that is in view as a whole has no frame on the strip', async () => {
    const { page } = opened;
    await lay(page, 'Hi there.');
    await lay(page, 'Hi there, you.');
    await page.waitForTimeout(300);
    assert.ok(
      await page.$eval('#heat', (canvas) => {
        const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height / 2 - 4);
        return data.every((value) => value === 0);
      }),
    );
  });

  test('what would unpack to more than a link may hold is not made into one', async () => {
    const { context, page } = opened;
    await context.grantPermissions(['clipboard-read', 'clipboard-write']);
    // It deflates to next to nothing, and has few tokens.
    await drop(page, ['lines.txt', `Ada lives in Rome.${'\n'.repeat(2_200_000)}`, 'text/plain']);
    await says(page, '#desk-status', /^Opened lines/);
    await page.fill('#question', 'Where is Ada?');
    await page.click('#ask-go');
    await page.waitForSelector('#result:not([hidden])', { timeout: 30_000 });
    await page.click('#share');
    await says(page, '#ask-status', /too long for a link/);
  });

  test('a text that is too long to edit is still there for who asks from the empty editor', async () => {
    const { page } = opened;
    const text = 'Ada lives in Rome. '.repeat(25_000);
    await drop(page, ['long.txt', text, 'text/plain']);
    await says(page, '#desk-status', /^Opened long/);
    await page.click('#edit');
    await says(page, '#desk-status', /too long to edit/);
    await page.fill('#question', 'Where is Ada?');
    await page.click('#ask-go');
    await page.waitForSelector('#ask-long:not([hidden])', { timeout: 20_000 });
    assert.equal(await page.textContent('#title'), 'long.txt');
    assert.match(await page.textContent('#source'), /475,000 characters/);
    await page.click('#ask-not');
  });

  test('another device while a question is worked on stops it, and the next one has an answer', async () => {
    const { page, problems } = opened;
    await lay(page, SLOW);
    await page.fill('#question', 'Who built it?');
    await page.click('#ask-go');
    await says(page, '#ask-status', /^Reading/);
    await page.selectOption('#device', 'wasm');
    await says(page, '#ask-status', /^Stopped\.$/);
    assert.equal((await page.textContent('#panel-ask .model-state')).includes('cannot'), false);
    assert.ok(await page.isVisible('#ask-go'));
    await lay(page, 'Ada lives in Rome.');
    await ask(page, 'Where is Ada?');
    assert.equal((await marked(page)).mark, 'Rome');
    assert.deepEqual(problems, []);
  });

  test('an address without https is refused before it is asked for', async () => {
    const { page, problems } = opened;
    await page.click('#panel-ask summary');
    for (const address of ['http://models.example/a', '//models.example/a', 'HTTP://127.0.0.1:1/']) {
      await page.fill('#model-question-answering', address);
      await page.click('#panel-ask .model-form button');
      await says(page, '#panel-ask .model .status', /https:/);
      await page.fill('#model-question-answering', '');
      await page.click('#panel-ask .model-form button');
      await says(page, '#panel-ask .model .status', /^Write the name/);
    }
    assert.deepEqual(problems, []);
  });

  test('what is found while the visitor is at another tab is marked when they come back', async () => {
    const { page } = opened;
    await lay(page, 'Ada lives in Rome. The dog sleeps in the garden. Bread is made of flour.');
    await page.click('#tab-search');
    await page.fill('#query', 'what we eat');
    await page.click('#search-go');
    await says(page, '#search-status', /3 sentences, the closest first/);
    await page.click('#tab-ask');
    assert.equal((await marked(page)).mark, '', 'what was found is not an answer');
    assert.match(await page.textContent('#heat-note'), /likely the answer/);
    await ask(page, 'Where is Ada?');
    await page.click('#tab-search');
    await page.fill('#query', 'a pet at rest');
    await page.evaluate(() => {
      document.querySelector('#search-go').click();
      document.querySelector('#tab-ask').click();
    });
    await page.waitForFunction(() => /^The dog/.test(document.querySelector('#found .ranked-text').textContent));
    assert.equal((await marked(page)).mark, 'Rome');
    assert.match(await page.textContent('#heat-note'), /likely the answer/);
    await page.click('#tab-search');
    assert.equal((await marked(page)).mark, 'The dog sleeps in the garden.');
    assert.match(await page.textContent('#heat-note'), /close each sentence/);
  });

  test('5 MB in one line are shown, and read sentence by sentence, while the page goes on', async () => {
    const { context, page, problems } = await demo.open();
    await page.evaluate(() => {
      window.longest = 0;
      new PerformanceObserver((list) => {
        for (const { duration } of list.getEntries()) window.longest = Math.max(window.longest, duration);
      }).observe({ type: 'longtask' });
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File(['Ada lives in Rome. '.repeat(263_000)], 'line.txt', { type: 'text/plain' }));
      document
        .querySelector('#text')
        .dispatchEvent(new DragEvent('drop', { dataTransfer, bubbles: true, cancelable: true }));
    });
    await says(page, '#desk-status', /^Opened line.txt: 4,997,000/);
    await page.click('#tab-search');
    await page.fill('#query', 'a home');
    await page.click('#search-go');
    await says(page, '#search-status', /of 263,000 sentences/, 60_000);
    await page.click('#search-stop');
    await says(page, '#search-status', /^Stopped/);
    assert.ok((await page.evaluate(() => window.longest)) < 1500);
    assert.deepEqual(problems, []);
    await context.close();
  });
});
