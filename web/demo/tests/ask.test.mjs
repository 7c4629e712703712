// Asking: the answer, where it stands, the others, what is kept, what is shared.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ask, FIRST, marked, openDemo } from './support.mjs';

describe('a question', () => {
  let demo;
  before(async () => { demo = await openDemo(); });
  after(() => demo?.close());

  test('of the first sample is answered with one click, where it stands', async () => {
    const { context, page, problems } = await demo.open();
    assert.equal(await page.inputValue('#question'), FIRST.question);
    await ask(page);
    const { text, start, mark } = await marked(page);
    assert.equal(mark, FIRST.answer);
    assert.equal(text.slice(start, start + mark.length), FIRST.answer);
    assert.equal(await page.textContent('.ranked[aria-current=true] .ranked-text'), FIRST.answer);
    const inView = await page.evaluate(() => {
      const frame = document.querySelector('#text').getBoundingClientRect();
      const { top, bottom } = document.querySelector('mark').getBoundingClientRect();
      return top >= frame.top && bottom <= frame.bottom;
    });
    assert.ok(inView, 'it is scrolled to');
    assert.deepEqual(problems(), []);
    await context.close();
  });
});
