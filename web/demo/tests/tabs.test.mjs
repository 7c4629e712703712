// Search by meaning, blanks, next sentences; and models that the visitor names.

import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { DIST, FIXTURES, marked, openDemo, says } from './support.mjs';

const CASES = JSON.parse(readFileSync(`${FIXTURES}/tasks/cases.json`, 'utf8'));

const ranked = (page, list) =>
  page.$$eval(`${list} .ranked`, (rows) =>
    rows.map((row) => ({
      text: row.querySelector('.ranked-text').textContent,
      score: Number(row.querySelector('.ranked-score').textContent),
    })),
  );

describe('the tabs', () => {
  let demo;
  let opened;
  before(async () => {
    demo = await openDemo();
    opened = await demo.open();
  });
  after(() => demo?.close());

  test('Search ranks the sentences by what they mean, and a click goes there', async () => {
    assert.ok(
      existsSync(`${DIST}/models/all-minilm-l6-v2`),
      'the encoder is missing: run pkg-scripts/setup --models, then build',
    );
    const { page, problems } = opened;
    await page.selectOption('#sample', 'twilight');
    await page.click('#tab-search');
    assert.match(
      await page.textContent('#panel-search .model-line'),
      /MiniLM-L6, sentences.*2[45] MB, downloaded once/,
    );
    await page.fill('#query', 'navies misjudged the depth of the sea');
    await page.click('#search-go');
    await says(page, '#search-status', /^\d+ sentences, the closest first/);
    const found = await ranked(page, '#found');
    assert.equal(found.length, 8);
    assert.match(found[0].text, /^In the Second World War, sailors/);
    assert.ok(found[0].score > 0.4 && found.every(({ score }, i) => i === 0 || score <= found[i - 1].score));
    const { text, start, mark } = await marked(page);
    assert.equal(mark, found[0].text);
    assert.equal(text.slice(start, start + mark.length), mark);
    await page.click('#found li:nth-child(2) button');
    assert.equal((await marked(page)).mark, found[1].text);

    // The sentences are read once: the next query is one call more.
    const calls = async () => {
      // What it said of the report before says nothing of this one.
      await page.evaluate(() => {
        document.querySelector('#report-status').textContent = '';
      });
      await page.click('#report');
      await page.waitForFunction(() => document.querySelector('#report-status').textContent !== '');
      return page.evaluate(() => navigator.clipboard.readText());
    };
    await opened.context.grantPermissions(['clipboard-read', 'clipboard-write']);
    const count = (report) => [...report.matchAll(/feature-extraction: \d+ ms/g)].length;
    const before = count(await calls());
    await page.fill('#query', 'animals that shine');
    await page.click('#search-go');
    await page.waitForFunction(
      (old) => document.querySelector('#found .ranked-text').textContent !== old,
      found[0].text,
    );
    assert.equal(count(await calls()), before + 1);
    const [best] = await ranked(page, '#found');
    assert.match(best.text, /light|lamps|shin|glow/);
    assert.deepEqual(problems, []);
  });

  test('Search takes a multilingual model of a local folder, whose tokenizer is Unigram', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'cloze-'));
    try {
      for (const part of ['heads/embed', 'small']) cpSync(`${FIXTURES}/unigram/${part}`, folder, { recursive: true });
      const { page, problems } = opened;
      await page.click('#edit');
      await page.fill(
        '#draft',
        'The lamps are lit. ¿Dónde nació la pintora? Der Wirt schläft schon. The clerk waited.',
      );
      await page.click('#editor .primary');
      await page.click('#tab-search');
      const asked = demo.server.requests.length;
      await page.setInputFiles('#panel-search input[type=file]', folder);
      await says(page, '#panel-search .model-state', /ready/);
      await page.fill('#query', '¿Dónde nació la pintora?');
      await page.click('#search-go');
      await says(page, '#search-status', /^4 sentences, the closest first/);
      const [best, second] = await ranked(page, '#found');
      assert.equal(best.text, '¿Dónde nació la pintora?');
      assert.ok(best.score > 0.99 && second.score < best.score, `${best.score} ${second.score}`);
      assert.equal((await marked(page)).mark, best.text);
      const requests = demo.server.requests.slice(asked);
      assert.ok(!requests.some((path) => /tokenizer|config\.json|safetensors/.test(path)), 'its files stay here');
      await page.selectOption('#sample', 'twilight');
      assert.deepEqual(problems, []);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('Blanks are filled by the model of a local folder', async () => {
    const { page, problems } = opened;
    const asked = demo.server.requests.length;
    await page.click('#tab-blanks');
    await page.click('#blanks-go');
    await says(page, '#blanks-status', /Choose a model/);
    await page.setInputFiles('#panel-blanks input[type=file]', `${FIXTURES}/tasks/mlm`);
    await says(page, '#panel-blanks .model-state', /ready/);
    const { input, result } = CASES.find(
      ({ task, model, input, options }) =>
        task === 'fill-mask' &&
        model === 'mlm' &&
        !options.targets &&
        (input.text.match(/\[MASK\]/g) ?? []).length === 1,
    );
    await page.fill('#cloze', input.text);
    await page.click('#blanks-go');
    await page.waitForSelector('#filled .ranked');
    const found = await ranked(page, '#filled');
    assert.deepEqual(
      found.map(({ text }) => text),
      result.map(({ token_str }) => token_str),
    );
    for (const [i, { score }] of found.entries()) assert.ok(Math.abs(score - result[i].score) < 0.001);
    assert.equal(await page.textContent('#filled .sequence'), result[0].sequence);
    await page.click('#filled li:nth-child(2) button');
    assert.equal(await page.textContent('#filled .sequence'), result[1].sequence);
    assert.ok(
      !demo.server.requests.slice(asked).some((path) => /mlm|config\.json|safetensors/.test(path)),
      'its files stay here',
    );

    // A word that is selected in the text is blanked in its sentence.
    await page.evaluate(() => {
      const node = document.querySelector('#text .block').firstChild;
      const at = node.data.indexOf('twilight');
      getSelection().setBaseAndExtent(node, at, node, at + 'twilight'.length);
    });
    await page.click('#blank-word');
    assert.match(await page.inputValue('#cloze'), /^Between two hundred.* is called the \[MASK\] zone\.$/s);
    assert.deepEqual(problems, []);
  });

  test('Next judges two sentences', async () => {
    const { page, problems } = opened;
    await page.click('#tab-next');
    await page.setInputFiles('#panel-next input[type=file]', `${FIXTURES}/tasks/sentences`);
    await says(page, '#panel-next .model-state', /ready/);
    for (const { input, result } of CASES.filter(({ task }) => task === 'next-sentence').slice(0, 3)) {
      await page.fill('#first', input.text);
      await page.fill('#second', input.pair);
      await page.click('#next-go');
      const said = await says(page, '#next-status', new RegExp(`is ${result.is_next.toFixed(3)}\\.$`));
      assert.match(await page.textContent('#judged'), result.is_next >= 0.5 ? /It follows/ : /does not follow/, said);
    }
    await page.click('#next-pair');
    const [one, two] = [await page.inputValue('#first'), await page.inputValue('#second')];
    const { text } = await marked(page);
    assert.ok(text.indexOf(one) >= 0 && text.indexOf(two) > text.indexOf(one));
    assert.deepEqual(problems, []);
  });

  test('an address names a model; a folder that is dropped is the model of the tab, and a file the text', async () => {
    const { context, page } = opened;
    const client = await context.newCDPSession(page);
    const { x, y } = await page.locator('#text').boundingBox();
    const dropped = async (path) => {
      const data = { items: [], files: [path], dragOperationsMask: 1 };
      for (const type of ['dragEnter', 'dragOver', 'drop']) {
        await client.send('Input.dispatchDragEvent', { type, x: x + 50, y: y + 50, data });
      }
    };
    await page.click('#tab-search');
    await page.$eval('#panel-search details', (details) => {
      details.open = true;
    });
    await page.fill('#model-feature-extraction', './models/all-minilm-l6-v2/');
    await page.click('#panel-search .model-form button');
    await says(page, '#panel-search .model-line', /^\.\/models\/all-minilm-l6-v2\/.*ready/);
    await dropped(`${FIXTURES}/tasks/mean`);
    await says(page, '#panel-search .model-line', /^mean.*ready/);
    await dropped(`${FIXTURES}/answers`);
    await says(page, '#desk-status', /no config\.json/);
    await dropped(`${FIXTURES}/answers/time-machine.txt`);
    await says(page, '#title', /^time-machine\.txt$/);
    assert.ok(!(await page.evaluate(() => document.body.classList.contains('dropping'))));
  });

  test('models that cannot be used are refused with a word, and another may be taken', async () => {
    const { page } = opened;
    await page.click('#tab-blanks');
    const name = async (text) => {
      await page.$eval('#panel-blanks details', (details) => {
        details.open = true;
      });
      await page.fill('#model-fill-mask', text);
      await page.click('#panel-blanks .model-form button');
    };
    await name('<img src=x onerror=alert(1)>');
    await says(page, '#panel-blanks .model .status', /not the name of a model/);
    await name('./none/');
    await says(page, '#panel-blanks .model .status', /none\/config\.json.*Check the address/);
    assert.match(await page.textContent('#panel-blanks .model-state'), /cannot be loaded/);
    // One of another task.
    await page.setInputFiles('#panel-blanks input[type=file]', `${FIXTURES}/tasks/mean`);
    await says(page, '#panel-blanks .model .status', /.{20,}/);
    assert.match(await page.textContent('#panel-blanks .model-state'), /cannot be loaded/);
    await page.setInputFiles('#panel-blanks input[type=file]', `${FIXTURES}/tasks/mlm-cased`);
    await says(page, '#panel-blanks .model-state', /ready/);
  });

  test('a model of the visitor’s own answers questions, and the included one comes back', async () => {
    const { page } = opened;
    await page.click('#tab-ask');
    await page.setInputFiles('#panel-ask input[type=file]', `${FIXTURES}/../../models/minilm-l6-qa`);
    await says(page, '#panel-ask .model-line', /minilm-l6-qa.*ready/);
    await page.$eval('#panel-ask details', (details) => {
      details.open = true;
    });
    await page.click('#panel-ask details .row button:nth-child(2)');
    await says(page, '#panel-ask .model-line', /MiniLM-L6, question answering/);
  });
});
