// Workers that end, fall silent or say what nobody understands: no call waits for them for ever.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { openSite, workersLeft } from './support/browser.mjs';

const QUESTION = ['Where was Ada Lovelace born?', 'Ada Lovelace was born in London on 10 December 1815.'];
const LONG = 'Ada Lovelace was born in London on 10 December 1815. '.repeat(800);

const later = (ms) =>
  new Promise((over) => {
    setTimeout(over, ms);
  });

const STATE = '{ device: "wasm", reason: "", adapter: "", model: { name: "x", files: [], cached: false } }';
/** Answers `open` as the package would, and `work` by `value`. */
const answering = (value) => `
  self.postMessage({ kind: 'started' });
  self.onmessage = ({ data: { kind, id } }) => {
    if (kind === 'ping') self.postMessage({ kind: 'pong' });
    if (kind === 'open') self.postMessage({ kind: 'done', id, state: ${STATE} });
    if (kind === 'work') self.postMessage({ kind: 'done', id, state: ${STATE}, value: ${value} });
  };`;
/** The package's worker, where `work` is met with something of the test's. */
const instead = (what) => `
  import '/dist/worker.js';
  const own = self.onmessage;
  self.onmessage = (event) => {
    if (event.data.kind === 'work') { ${what} } else own(event);
  };`;

const SCRIPTS = {
  closes: instead('self.close();'),
  'closes-at-work': instead('own(event); setTimeout(() => self.close(), 300);'),
  throws: instead("throw new Error('boom');"),
  silent: "import '/dist/worker.js'; self.onmessage = () => {};",
  'silent-at-work':
    "import '/dist/worker.js'; const own = self.onmessage; self.onmessage = (event) => { if (event.data.kind === 'work') self.onmessage = () => {}; else own(event); };",
  deaf: instead(''),
  // Its messages wait for seven seconds, as while WebAssembly computes.
  busy: instead('const until = Date.now() + 7000; while (Date.now() < until); own(event);'),
  nothing: 'setInterval(() => {}, 1000);',
  'throws-at-once': "throw new Error('boom');",
  malformed: `for (const message of [null, 5, 'text', [], { kind: 'done' }, { kind: 'failed' }, { kind: 'progress' }, { kind: 'progress', progress: { status: 1 } },
      { kind: 'alive' }, { kind: 'pong' }, { kind: 'done', id: 77, state: null }, { kind: 'failed', id: '0' }, { kind: 'other', id: 0 }]) self.postMessage(message);
    import('/dist/worker.js');`,
  'failed-without-words':
    "self.postMessage({ kind: 'started' }); self.onmessage = ({ data: { id } }) => self.postMessage({ kind: 'failed', id });",
  'done-without-state':
    "self.postMessage({ kind: 'started' }); self.onmessage = ({ data: { id } }) => self.postMessage({ kind: 'done', id, state: null });",
  'done-with-another-state':
    "self.postMessage({ kind: 'started' }); self.onmessage = ({ data: { id } }) => self.postMessage({ kind: 'done', id, state: { model: { name: 'x' } } });",
  'answers-an-object': answering(`'{"__proto__": {"x": 1}}'`),
  'answers-no-json': answering(`'[{'`),
  'answers-numbers': answering('[1]'),
  'answers-nothing': answering('undefined'),
};

/** Opens a pipeline with this script, asks, and gives a second call up; what became of each, and when. */
async function meet(cloze, { script, question, long = question[1], given = 150 }) {
  const began = performance.now();
  const said = (promise) =>
    promise
      .then(
        (value) => (Array.isArray(value) ? value[0].answer : 'opened'),
        ({ name, code, message }) => (code === undefined || name === 'AbortError' ? name : `${code}: ${message}`),
      )
      .then((what) => ({ what, after: performance.now() - began }));
  let answer;
  const found = {};
  found.opened = await said(
    cloze
      .pipeline('question-answering', {
        worker: () => new Worker(`/scripts/${script}`, { type: 'module' }),
        device: 'wasm',
      })
      .then((opened) => (answer = opened)),
  );
  if (answer) {
    const stop = new AbortController();
    const call = said(answer(question[0], long));
    const aborted = said(answer(...question, { signal: stop.signal }));
    await new Promise((over) => {
      setTimeout(over, given);
    });
    const from = performance.now() - began;
    stop.abort();
    found.aborted = await aborted;
    found.aborted.after -= from;
    found.call = await call;
    found.next = await said(answer(...question));
    await answer.dispose();
  }
  found.polluted = {}.x;
  return found;
}

describe('a worker', { concurrency: 1 }, () => {
  let site;
  before(async () => {
    site = await openSite('none', {
      handle: (request, response, { pathname }) => {
        const script = SCRIPTS[pathname.slice('/scripts/'.length)];
        if (!pathname.startsWith('/scripts/')) return false;
        const type = pathname.endsWith('/page') ? 'text/html' : 'text/javascript';
        response.setHeader('content-type', type);
        response.statusCode = script === undefined && !pathname.endsWith('/page') ? 404 : 200;
        response.end(script ?? '<!doctype html><title>a page</title>');
        return true;
      },
    });
  });
  after(() => site?.close());

  const run = (script, more = {}) => site.run(meet, { script, question: QUESTION, ...more });
  /** A pipeline that is opened after all of it answers. */
  const isWell = async () => {
    const best = await site.run(async ({ pipeline }, question) => {
      const answer = await pipeline('question-answering', { device: 'wasm' });
      const [best] = await answer(...question);
      await answer.dispose();
      return best.answer;
    }, QUESTION);
    assert.equal(best, 'London');
    assert.deepEqual(await workersLeft(site.page), []);
  };

  test('that ends in silence is noticed at once', async () => {
    for (const [script, long] of [
      ['closes', undefined],
      ['closes-at-work', LONG],
    ]) {
      const { opened, call, next } = await run(script, long && { long });
      assert.equal(opened.what, 'opened');
      for (const { what } of [call, next])
        assert.match(what, /^worker_lost: The worker has ended.*Open the pipeline again$/, script);
      assert.ok(call.after - opened.after < 3000, `${script}: ${call.after - opened.after} ms`);
    }
    await isWell();
  });

  test('that stops with an error is lost with its words', async () => {
    const { call, next } = await run('throws');
    for (const { what } of [call, next]) assert.match(what, /^worker_lost: The worker stopped: .*boom/);
    await isWell();
  });

  test('that does not take up what it is asked is lost after 5 s', async () => {
    const { opened } = await run('silent');
    assert.match(opened.what, /^worker_lost: The worker has given no sign for 5 s/);
    assert.ok(opened.after > 4000 && opened.after < 12_000, `${opened.after} ms`);
    await isWell();
  });

  test('that computes for seconds without a turn for messages is waited for', async () => {
    const { aborted, call, next } = await run('busy');
    assert.deepEqual([aborted.what, call.what, next.what], ['AbortError', 'London', 'London']);
    assert.ok(aborted.after < 100, `${aborted.after} ms`);
    assert.ok(call.after > 7000);
  });

  test('that lives and does not answer lets its callers give up', async () => {
    const found = await site.run(async ({ pipeline }, question) => {
      const answer = await pipeline('question-answering', {
        worker: () => new Worker('/scripts/deaf', { type: 'module' }),
        device: 'wasm',
      });
      const stop = new AbortController();
      const calls = [1, 2, 3].map(() => answer(...question, { signal: stop.signal }).catch(({ name }) => name));
      const last = answer(...question).catch(({ code }) => code);
      stop.abort();
      const names = await Promise.all(calls);
      await answer.dispose();
      return [...names, await last];
    }, QUESTION);
    assert.deepEqual(found, ['AbortError', 'AbortError', 'AbortError', 'cancelled']);
  });

  test('whose script is not there, is a page, or throws, does not start', async () => {
    for (const script of ['none', 'page', 'throws-at-once']) {
      const { opened } = await run(script);
      assert.match(opened.what, /^io: The worker does not start: .*See to its script$/, script);
    }
  });

  test('that says other things as well is listened to', async () => {
    const { opened, call, next } = await run('malformed');
    assert.deepEqual([opened.what, call.what, next.what], ['opened', 'London', 'London']);
  });

  test('whose answers cannot be read is lost', async () => {
    for (const script of ['failed-without-words', 'done-without-state', 'done-with-another-state']) {
      const { opened } = await run(script);
      assert.match(opened.what, /^worker_lost: The worker gave an answer that cannot be read/, script);
    }
    for (const script of ['answers-an-object', 'answers-no-json', 'answers-numbers', 'answers-nothing']) {
      const { call, polluted } = await run(script);
      assert.match(call.what, /^worker_lost: The engine gave results that cannot be read/, script);
      assert.equal(polluted, undefined);
    }
    await isWell();
  });

  test('is watched without locks too, and while it starts', async () => {
    const { page, run } = await site.freshPage();
    await page.clock.install();
    const patience = async (script) => {
      await run(
        async ({ pipeline }, { script, question }) => {
          Object.defineProperty(navigator, 'locks', { value: undefined, configurable: true });
          window.ended = undefined;
          window.atWork = false;
          const worker = () => new Worker(`/scripts/${script}`, { type: 'module' });
          window.ending = pipeline('question-answering', { worker, device: 'wasm' })
            .then((answer) => {
              window.atWork = true;
              return answer(...question);
            })
            .then(
              () => 'answered',
              ({ code, message }) => `${code}: ${message}`,
            )
            .then((what) => {
              window.ended = what;
            });
        },
        { script, question: QUESTION },
      );
      // Until its messages have come, time stands still.
      while (script !== 'nothing' && !(await page.evaluate('window.atWork'))) await later(20);
      await later(500);
      for (let seconds = 1; seconds <= 70; seconds++) {
        await page.clock.fastForward(1000);
        const ended = await page.evaluate('window.ended');
        if (ended) return [seconds, ended];
      }
      return [];
    };
    for (const script of ['closes', 'silent-at-work']) {
      const [seconds, ended] = await patience(script);
      assert.match(ended, /^worker_lost: The worker has given no sign for 30 s/, script);
      assert.equal(seconds, 30, script);
    }
    const [seconds, ended] = await patience('nothing');
    assert.match(ended, /^io: The worker does not start: its script has said nothing for 60 s/);
    assert.equal(seconds, 60);
    await page.close();
  });
});

test('thousands of calls on one signal are given up in no time', async () => {
  const site = await openSite('none');
  try {
    const { names, took, next } = await site.run(async ({ pipeline }, question) => {
      const answer = await pipeline('question-answering', { device: 'wasm' });
      const stop = new AbortController();
      const calls = Array.from({ length: 8000 }, () =>
        answer(...question, { signal: stop.signal }).catch(({ name }) => name),
      );
      const from = performance.now();
      stop.abort();
      const names = new Set(await Promise.all(calls));
      const took = performance.now() - from;
      const [best] = await answer(...question);
      await answer.dispose();
      return { names: [...names], took, next: best.answer };
    }, QUESTION);
    assert.deepEqual(names, ['AbortError']);
    assert.ok(took < 2000, `${took} ms`);
    assert.equal(next, 'London');
  } finally {
    await site.close();
  }
});
