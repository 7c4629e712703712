// For everyone: axe's rules, the keyboard alone, a phone's width, less motion, both themes.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { after, before, describe, test } from 'node:test';
import { ask, FIRST, FIXTURES, marked, openDemo, says } from './support.mjs';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const TABS = ['ask', 'search', 'blanks', 'next'];

/** Runs axe in the page; it is put there past the page's policy, which stays as it is. */
async function violations(page) {
  await page.evaluate(AXE);
  return page.evaluate(async () => {
    const { violations, passes } = await window.axe.run(document, { resultTypes: ['violations'] });
    if (passes.length < 20) throw new Error(`axe has looked at ${passes.length} rules`);
    return violations.flatMap(({ id, nodes }) =>
      nodes.map(({ html, failureSummary }) => `${id}: ${html} ${failureSummary}`),
    );
  });
}

describe('the page', () => {
  let demo;
  before(async () => {
    demo = await openDemo();
  });
  after(() => demo?.close());

  test("breaks none of axe's rules, in all tabs, light and dark", async () => {
    const { context, page, problems } = await demo.open({ reducedMotion: 'reduce' });
    const desk = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const both = async (what) => {
      const seen = new Set();
      for (const colorScheme of ['light', 'dark']) {
        await page.emulateMedia({ colorScheme });
        seen.add(await desk());
        assert.deepEqual(await violations(page), [], `${what}, ${colorScheme}`);
      }
      assert.equal(seen.size, 2, 'the themes differ');
    };
    await ask(page);
    await page.click('#report');
    for (const tab of TABS) {
      await page.click(`#tab-${tab}`);
      if (tab === 'next') {
        await page.setInputFiles('#panel-next input[type=file]', `${FIXTURES}/tasks/sentences`);
        await says(page, '#panel-next .model-state', /ready/);
        await page.click('#next-go');
        await page.waitForSelector('.verdict');
      }
      await page.$$eval('details', (all) =>
        all.forEach((one) => {
          one.open = true;
        }),
      );
      await both(tab);
    }
    // With an error, an editor and a long text's warning in view.
    await page.click('#tab-ask');
    await page.fill('#question', '');
    await page.click('#ask-go');
    await page.$eval('#ask-long', (box) => {
      box.hidden = false;
    });
    await page.click('#edit');
    await both('problems');
    // The visitor's choice goes before the system's.
    const dark = await desk();
    await page.click('#theme');
    assert.notEqual(await desk(), dark);
    assert.deepEqual(await violations(page), []);
    await page.reload();
    assert.notEqual(await desk(), dark, 'it is kept');
    assert.deepEqual(problems, []);
    await context.close();
  });

  test('can be used by keyboard alone', async () => {
    const { context, page, problems } = await demo.open({ reducedMotion: 'reduce' });
    const focused = () =>
      page.evaluate(() => {
        const { activeElement: one } = document;
        const { outlineStyle, outlineWidth } = getComputedStyle(one);
        return {
          id: one.id,
          name: one.id || one.textContent.trim().slice(0, 60),
          seen: outlineStyle !== 'none' && outlineWidth !== '0px',
        };
      });
    /** Goes on until something has the focus; what is passed must show that it has it. */
    const tabTo = async (wanted, key = 'Tab') => {
      for (let i = 0; i < 60; i++) {
        await page.keyboard.press(key);
        const now = await focused();
        assert.ok(now.seen, `the focus cannot be seen on ${now.name}`);
        if (now.name === wanted || now.id === wanted) return;
      }
      assert.fail(`${wanted} cannot be reached`);
    };
    await tabTo('sample');
    await tabTo('text');
    await page.keyboard.press('PageDown');
    await tabTo('heat');
    await tabTo('tab-ask');
    await tabTo('question');
    await page.keyboard.press('Control+A');
    await page.keyboard.type('When did Ada die?');
    await page.keyboard.press('Enter');
    await page.waitForSelector('.ranked[aria-current=true]');
    assert.equal((await marked(page)).mark, '27 November 1852');
    const second = await page.textContent('#answers li:nth-child(2) .ranked-text');
    for (let i = 0; i < 40 && !(await focused()).name.startsWith(second); i++) await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    assert.equal((await marked(page)).mark, second);
    // The list of what was asked, and back to the tabs.
    await page.waitForFunction(() => document.activeElement.classList.contains('ranked'));
    for (
      let i = 0;
      i < 40 && !(await page.evaluate(() => document.activeElement.classList.contains('kept-item')));
      i++
    ) {
      await page.keyboard.press('Tab');
    }
    await page.keyboard.press('Enter');
    assert.equal((await marked(page)).mark, '27 November 1852');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Space');
    assert.ok(await page.isHidden('#kept'), 'removed');
    await tabTo('tab-ask', 'Shift+Tab');
    for (const [key, tab] of [
      ['ArrowRight', 'search'],
      ['ArrowLeft', 'ask'],
      ['ArrowLeft', 'next'],
      ['Home', 'ask'],
      ['End', 'next'],
    ]) {
      await page.keyboard.press(key);
      assert.equal((await focused()).id, `tab-${tab}`);
      assert.ok(await page.isVisible(`#panel-${tab}`));
      assert.equal(await page.locator('[role=tabpanel]:visible').count(), 1);
    }
    await tabTo('first');
    await tabTo('edit', 'Shift+Tab');
    await page.keyboard.press('Enter');
    assert.equal((await focused()).id, 'draft');
    await page.keyboard.press('Control+A');
    await page.keyboard.type('The dog is called Rex.');
    await tabTo('Use this text');
    await page.keyboard.press('Enter');
    assert.equal((await marked(page)).text, 'The dog is called Rex.');
    assert.equal((await focused()).id, 'edit', 'the focus is not lost');
    await tabTo('theme', 'Shift+Tab');
    await page.keyboard.press('Space');
    assert.equal(await page.getAttribute('#theme', 'aria-pressed'), 'true');
    assert.deepEqual(problems, []);
    await context.close();
  });

  test('fits a phone, and moves nothing for who wants no motion', async () => {
    const { context, page } = await demo.open({
      viewport: { width: 360, height: 740 },
      hasTouch: true,
      isMobile: true,
      reducedMotion: 'reduce',
    });
    const fits = async (what) => {
      const wide = await page.evaluate(() =>
        [...document.querySelectorAll('body *')]
          .filter(
            (one) =>
              one.getBoundingClientRect().right > innerWidth + 1 && !one.closest('.suggestions, .visually-hidden'),
          )
          .map((one) => one.outerHTML.slice(0, 80)),
      );
      assert.deepEqual(wide, [], what);
      const inner = await page.evaluate(() =>
        [document.documentElement, ...document.querySelectorAll('#text, .block')].map(
          (one) => one.scrollWidth - one.clientWidth,
        ),
      );
      assert.ok(
        inner.every((beyond) => beyond <= 0),
        `${what}: ${inner}`,
      );
    };
    await fits('at first');
    await ask(page);
    await fits('with an answer');
    assert.equal(await page.evaluate(() => document.getAnimations().length), 0);
    const smooth = await page.evaluate(() => {
      const calls = [];
      for (const name of ['scrollTo', 'scrollIntoView']) {
        Element.prototype[name] = (options) => {
          if (options?.behavior === 'smooth') calls.push(name);
        };
      }
      // From near and from afar, and with the text itself out of sight.
      for (const top of [0, 1e6]) {
        document.querySelector('#text').scrollTop = top;
        document.querySelectorAll('.ranked').forEach((one) => one.click());
        window.scroll(0, top);
      }
      return calls;
    });
    assert.deepEqual(smooth, []);
    for (const tab of TABS) {
      await page.tap(`#tab-${tab}`);
      await page.$$eval('details', (all) =>
        all.forEach((one) => {
          one.open = true;
        }),
      );
      await fits(tab);
    }
    await page.tap('#edit');
    await page.fill('#draft', `${'x'.repeat(2000)} ${FIRST.answer}`);
    await page.tap('#editor .primary');
    await fits('with a word that never ends');
    await context.close();
  });

  test('has a strict policy, and nothing in it breaks it', async () => {
    const { context, page, problems } = await demo.open({
      prepare: (context) =>
        context.addInitScript(() => {
          window.refused = [];
          addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) =>
            window.refused.push(`${violatedDirective} ${blockedURI}`),
          );
        }),
    });
    const policy = await page.getAttribute('meta[http-equiv=Content-Security-Policy]', 'content');
    assert.match(policy, /^default-src 'none';/);
    assert.doesNotMatch(policy, /unsafe-inline|unsafe-eval'(?<!wasm-unsafe-eval')|\*/);
    await ask(page);
    assert.deepEqual(await page.evaluate(() => window.refused), []);
    assert.deepEqual(problems, []);
    // It does hold.
    await page.evaluate(() => {
      const script = document.createElement('script');
      script.textContent = 'window.hurt = 1';
      document.body.append(script);
      document.body.setAttribute('style', 'color: red');
    });
    assert.equal(await page.evaluate(() => window.hurt), undefined);
    await page.waitForFunction(() => window.refused.length >= 2);
    await context.close();
  });
});
