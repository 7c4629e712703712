// Asking: the answer, where it stands, the others, what is kept, what a link carries.

import assert from 'node:assert/strict';
import { deflateRawSync } from 'node:zlib';
import { after, before, describe, test } from 'node:test';
import { ask, drop, FIRST, marked, openDemo, says } from './support.mjs';

const HOSTILE = '<img src=x onerror="window.hurt=1"><script>window.hurt=2</script>';

const packed = (text) => deflateRawSync(Buffer.from(text), { level: 9 }).toString('base64url');
const link = (title, text, question) => `#t=${packed(JSON.stringify([1, title, text, question]))}`;

describe('a question', () => {
  let demo;
  let first;
  before(async () => {
    demo = await openDemo();
    first = await demo.open({ permissions: ['clipboard-read', 'clipboard-write'] });
  });
  after(() => demo?.close());

  test('of the first sample is answered with one click, where it stands', async () => {
    const { page, problems } = first;
    const before = await strip(page);
    assert.equal(before.up + before.down, 0, 'no heat before an answer');
    assert.equal(await page.inputValue('#question'), FIRST.question);
    await page.setViewportSize({ width: 1280, height: 600 });
    await ask(page);
    const { text, start, mark } = await marked(page);
    assert.equal(mark, FIRST.answer);
    assert.equal(text.slice(start, start + mark.length), FIRST.answer);
    assert.equal(await page.textContent('.ranked[aria-current=true] .ranked-text'), FIRST.answer);
    assert.ok((await page.evaluate(() => document.querySelector('#text').scrollTop)) > 0);
    await page.waitForFunction(() => {
      const frame = document.querySelector('#text').getBoundingClientRect();
      const { top, bottom } = document.querySelector('mark').getBoundingClientRect();
      return top >= frame.top && bottom <= frame.bottom;
    });
    assert.match(
      await page.textContent('#ask-status'),
      new RegExp(`answer: ${FIRST.answer}`),
      'a screen reader hears it',
    );
    assert.deepEqual(problems, []);
  });

  test('has other answers, by their scores, and a click marks one', async () => {
    const { page } = first;
    const rows = await page.$$eval('#answers .ranked', (all) =>
      all.map((row) => ({
        text: row.querySelector('.ranked-text').textContent,
        score: Number(row.querySelector('.ranked-score').textContent),
        bar:
          row.querySelector('.bar-fill').getBoundingClientRect().width /
          row.querySelector('.bar').getBoundingClientRect().width,
      })),
    );
    assert.equal(rows.length, 5);
    for (const [i, { score, bar }] of rows.entries()) {
      assert.ok(i === 0 || score <= rows[i - 1].score, 'the best first');
      assert.ok(Math.abs(bar - score) < 0.01, `a bar of ${bar} for ${score}`);
    }
    const whole = (await marked(page)).text;
    for (const i of [1, 0]) {
      await page.click(`#answers li:nth-child(${i + 1}) button`);
      const { text, start, mark } = await marked(page);
      assert.equal(mark, rows[i].text);
      assert.equal(text.slice(start, start + mark.length), mark);
      assert.equal(text, whole, 'the text is the same, whatever is marked');
      assert.equal(await page.textContent('.ranked[aria-current=true] .ranked-text'), rows[i].text);
    }
  });

  test('says what it took, on what, and why', async () => {
    const { page } = first;
    const facts = await page.textContent('#facts');
    assert.match(facts, /Time[\d.]+ m?s/);
    assert.match(facts, /Read\d{3} tokens/);
    assert.match(facts, /Speed[\d,]+ tokens\/s/);
    assert.match(facts, /DeviceWebAssembly/);
    assert.match(await page.textContent('#reason'), /^Why WebAssembly: .*no GPU/);
  });

  test('leaves its heat on the strip, highest where the answer is, and a click goes there', async () => {
    const { page } = first;
    const { up, down, upAt, downAt } = await strip(page);
    assert.ok(up > 20 && down > 20, `${up} and ${down} pixels`);
    const { text, start, mark } = await marked(page);
    assert.ok(Math.abs(upAt - start / text.length) < 0.02, `starts at ${upAt}, not ${start / text.length}`);
    assert.ok(Math.abs(downAt - (start + mark.length) / text.length) < 0.02, `ends at ${downAt}`);

    const { width, height } = await page.locator('#heat').boundingBox();
    await page.click('#heat', { position: { x: 0.98 * width, y: height / 2 } });
    await page.waitForFunction(() => document.querySelector('#text').scrollTop > 200);
    await page.click('#heat', { position: { x: 1, y: height / 2 } });
    await page.waitForFunction(() => document.querySelector('#text').scrollTop < 20);
    await page.focus('#heat');
    await page.keyboard.press('End');
    await page.waitForFunction(() => document.querySelector('#text').scrollTop > 200);
    await page.setViewportSize({ width: 1280, height: 800 });
  });

  test('is kept with its answers, until it is removed', async () => {
    const { page } = first;
    await ask(page, 'When did Ada die?');
    await page.selectOption('#sample', 'bridge');
    await ask(page, 'How much did the repair cost?');
    const kept = () =>
      page.$$eval('#kept-list .kept-item', (all) =>
        all.map((one) => [
          one.querySelector('.kept-question').textContent,
          one.querySelector('.kept-answer').textContent,
        ]),
      );
    assert.deepEqual(await kept(), [
      ['How much did the repair cost?', '6.4 million'],
      ['When did Ada die?', '27 November 1852'],
      [FIRST.question, FIRST.answer],
    ]);
    await page.click('#kept-list li:nth-child(2) .kept-item');
    assert.equal((await marked(page)).mark, '27 November 1852');
    assert.equal(await page.textContent('#title'), 'Ada Lovelace', 'its own text is back');
    assert.equal(await page.inputValue('#question'), 'When did Ada die?');
    await page.click('#kept-list li:nth-child(1) .remove');
    assert.deepEqual(
      (await kept()).map(([question]) => question),
      ['When did Ada die?', FIRST.question],
    );
    await page.click('#kept-clear');
    assert.ok(await page.isHidden('#kept'));
  });

  test('goes into a link with its text, and the link brings both', async () => {
    const { page } = first;
    const asked = demo.server.requests.length;
    await page.click('#share');
    await says(page, '#ask-status', /Link copied/);
    const copied = await page.evaluate(() => navigator.clipboard.readText());
    assert.equal(demo.server.requests.length, asked, 'nothing is sent');
    const url = new URL(copied);
    assert.ok(url.href.startsWith(`${demo.server.url}/#t=`), url.href.slice(0, 60));

    const { context, page: other, problems } = await demo.open({ hash: url.hash });
    assert.equal((await marked(other)).text, (await marked(page)).text);
    assert.equal(await other.inputValue('#question'), 'When did Ada die?');
    assert.match(await other.textContent('#ask-status'), /came with the link/);
    assert.ok(await other.isHidden('#result'), 'nothing is asked before the visitor does');
    assert.equal(await other.evaluate(() => location.hash), '');
    assert.ok(!demo.server.requests.some((path) => path.includes('t=')), 'no request holds the text');
    assert.deepEqual(problems, []);
    await context.close();
  });

  test('in a broken link, or one that unpacks to gigabytes, is refused', async () => {
    const bomb = packed(' '.repeat(60 << 20));
    assert.ok(bomb.length < 100_000);
    const whole = packed(JSON.stringify([1, 'a', 'b', 'c']));
    const words = [
      [`#t=${whole.slice(0, -4)}`, /broken/],
      ['#t=%%%', /broken/],
      ['#t=', /broken/],
      [`#t=${packed('[1,2,3,4]')}`, /broken/],
      [`#t=${packed('{"a":1}')}`, /broken/],
      [`#t=${bomb}`, /more than 4 MB/],
    ];
    const [[begun]] = words;
    const { context, page, problems } = await demo.open({ hash: begun });
    for (const [hash, word] of words) {
      if (hash !== begun) {
        await page.$eval('#desk-status', (line) => {
          line.textContent = '';
        });
        await page.evaluate((hash) => {
          location.hash = hash;
        }, hash);
      }
      await says(page, '#desk-status', word);
      assert.equal(await page.textContent('#title'), 'Ada Lovelace', 'the page is there all the same');
    }
    assert.deepEqual(problems, []);
    await context.close();
  });

  test('and a text that are markup stay text', async () => {
    const { page, problems } = first;
    const text = `${HOSTILE} Ada wrote it in 1843. ${HOSTILE}`;
    const inert = async () => {
      assert.equal(await page.evaluate(() => window.hurt), undefined);
      assert.equal(await page.locator('#text img, #kept img, #answers img, h2 img, script:not([src])').count(), 0);
    };
    await drop(page, [`${HOSTILE.replaceAll('/', '')}.txt`, text, 'text/plain']);
    await page.waitForFunction((text) => document.querySelector('#text').textContent === text, text);
    assert.match(await page.textContent('#title'), /^<img src=x/);
    await ask(page, `Who wrote ${HOSTILE}?`);
    await inert();
    assert.match(await page.textContent('.kept-question'), /^Who wrote <img/);
    await page.evaluate(
      (hash) => {
        location.hash = hash;
      },
      link(HOSTILE, text, HOSTILE),
    );
    await says(page, '#ask-status', /came with the link/);
    assert.equal(await page.inputValue('#question'), HOSTILE);
    assert.equal(await page.textContent('#title'), HOSTILE);
    await ask(page);
    await inert();
    await page.click('#edit');
    await page.fill('#draft', HOSTILE);
    await page.click('#editor .primary');
    assert.equal((await marked(page)).text, HOSTILE);
    await inert();
    assert.deepEqual(problems, []);
  });

  test('needs a text: other kinds of files are refused with a word', async () => {
    const { page, problems } = first;
    const refused = [
      ['thesis.pdf', [37, 80, 68, 70], 'application/pdf', /PDF.*paste/],
      ['a.docx', [80, 75, 3, 4], '', /Word document/],
      ['page.html', '<p>Hi</p>', 'text/html', /web page/],
      ['photo.png', [137, 80], 'image/png', /picture/],
      ['data.bin', [0, 1, 2], '', /another kind of file/],
      ['notes.log', 'Hi', 'text/plain', /another kind of file/],
      ['fake.txt', [0, 1, 2, 0, 4], 'text/plain', /is not plain text/],
      ['empty.txt', '  ', 'text/plain', /empty/],
    ];
    const before = (await marked(page)).text;
    for (const [name, content, type, word] of refused) {
      await drop(page, [name, content, type]);
      await says(page, '#desk-status', word);
      assert.ok(await page.$eval('#desk-status', (line) => line.classList.contains('problem')));
      assert.equal((await marked(page)).text, before, 'the text stays');
    }
    await drop(page, ['a.txt', 'A.', ''], ['b.txt', 'B.', '']);
    await says(page, '#desk-status', /one text at a time/);

    const taken = [
      ['notes.md', Buffer.from('# Grüße\r\nan alle'), '# Grüße\nan alle'],
      ['old.txt', Buffer.from('Gr\xfc\xdfe', 'latin1'), 'Grüße'],
      ['wide.txt', Buffer.concat([Buffer.from([255, 254]), Buffer.from('Grüße', 'utf16le')]), 'Grüße'],
    ];
    for (const [name, content, text] of taken) {
      await drop(page, [name, [...content], 'text/plain']);
      await page.waitForFunction((text) => document.querySelector('#text').textContent === text, text);
    }
    await page.setInputFiles('#file', { name: 'picked.txt', mimeType: 'text/plain', buffer: Buffer.from('Picked.') });
    await page.waitForFunction(() => document.querySelector('#text').textContent === 'Picked.');
    assert.deepEqual(problems, []);
  });

  test('goes to what is pasted and written', async () => {
    const { page } = first;
    await page.evaluate(() => navigator.clipboard.writeText('The cat is called Mog and the dog is called Rex.'));
    await page.focus('#text');
    await page.keyboard.press('Control+V');
    assert.equal(await page.textContent('#title'), 'Pasted text');
    await ask(page, 'What is the cat called?');
    assert.equal((await marked(page)).mark, 'Mog');
    await page.click('#edit');
    await page.fill('#draft', 'The cat is called Tib.');
    // Without leaving the editor first.
    await ask(page, 'What is the cat called?');
    assert.match((await marked(page)).mark, /^Tib/);
    for (const [question, text, word] of [
      [' ', 'Some text.', /Write a question/],
      ['Who?', ' ', /no text yet/],
    ]) {
      await page.click('#edit');
      await page.fill('#draft', text);
      await page.click('#editor .primary');
      await page.fill('#question', question);
      await page.click('#ask-go');
      await says(page, '#ask-status', word);
    }
  });

  test('leaves a report without a word of the visitor', async () => {
    const { page } = first;
    await page.click('#report');
    await says(page, '#report-status', /Copied/);
    const report = await page.evaluate(() => navigator.clipboard.readText());
    for (const word of [
      /browser: Mozilla/,
      /WebGPU: /,
      /question-answering: ready/,
      /model: minilm-l6-qa/,
      /device: wasm/,
      /self-test: there is no GPU/,
      /"ops":\d{2,}/,
      /question-answering: \d+ ms, \d+ tokens/,
    ])
      assert.match(report, word);
    assert.doesNotMatch(report, /Tib|cat|hurt|Ada/);

    const { context, page: refused } = await demo.open({
      prepare: (context) =>
        context.addInitScript(() => {
          Object.defineProperty(Clipboard.prototype, 'writeText', {
            value: () => Promise.reject(new DOMException('no', 'NotAllowedError')),
          });
        }),
    });
    await refused.click('#report');
    await says(refused, '#report-status', /by hand/);
    const { value, selected } = await refused.$eval('#report-text', (field) => ({
      value: field.value,
      selected: field.value.slice(field.selectionStart, field.selectionEnd),
    }));
    assert.match(value, /^Cloze demo report/);
    assert.equal(selected, value);
    await context.close();
  });
});

/** What is painted on the strip: pixels of the start's colour and the end's, and where the tallest of each is. */
function strip(page) {
  return page.evaluate(
    () =>
      new Promise((resolve) =>
        requestAnimationFrame(() =>
          requestAnimationFrame(() => {
            const canvas = document.querySelector('#heat');
            const { data, width, height } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
            const tallest = (from, to, isOurs) => {
              const columns = Array.from({ length: width }, (_, x) => {
                let sum = 0;
                for (let y = from; y < to; y++) {
                  const [r, g, b, a] = data.subarray(4 * (y * width + x), 4 * (y * width + x) + 4);
                  if (a > 40 && isOurs(r, g, b)) sum += 1;
                }
                return sum;
              });
              const most = Math.max(...columns);
              const first = columns.indexOf(most);
              return {
                sum: columns.reduce((all, one) => all + one, 0),
                at: (first + columns.lastIndexOf(most)) / 2 / width,
              };
            };
            // Teal above, vermilion below; the answer's yellow and the frame's grey are neither.
            const up = tallest(2, height / 2 - 2, (r, g, b) => b > r + 40);
            const down = tallest(height / 2 + 3, height - 2, (r, g, b) => r > g + 50 && r > b + 50 && g < 150);
            resolve({ up: up.sum, down: down.sum, upAt: up.at, downAt: down.at });
          }),
        ),
      ),
  );
}
