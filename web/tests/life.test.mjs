// A pipeline's life: calls that wait, calls that are aborted, GPUs that are lost or wrong, the end.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openSite, workersLeft } from './support/browser.mjs';

const FIXTURES = fileURLToPath(new URL('../../tests/fixtures', import.meta.url));
const SUPPORT = fileURLToPath(new URL('./support', import.meta.url));
const LONG = readFileSync(`${FIXTURES}/answers/time-machine.txt`, 'utf8');
/** What aborting may take on WebAssembly, in milliseconds. */
const PROMPT = 150;
const QUESTION = ['Where was Ada Lovelace born?', 'Ada Lovelace was born in London on 10 December 1815.'];

for (const worker of [true, false]) {
  describe(`on WebAssembly, ${worker ? 'in a worker' : 'in the page'}`, () => {
    let site;
    before(async () => {
      site = await openSite('none', { mounts: { '/fixtures': FIXTURES } });
    });
    after(() => site?.close());

    test('a hundred calls wait their turn, and each has its own answer', async () => {
      const found = await site.run(
        async ({ pipeline }, { worker }) => {
          const answer = await pipeline('question-answering', { worker });
          const order = [];
          const all = await Promise.all(
            Array.from({ length: 100 }, async (_, i) => {
              const [best] = await answer('What is the number?', `${'It rained. '.repeat(i % 4)}The number is ${i}.`);
              order.push(i);
              return best.answer;
            }),
          );
          const sorted = order.every((at, i) => at === i);
          await answer.dispose();
          return { all, sorted };
        },
        { worker },
      );
      assert.deepEqual(
        found.all.map((number) => number.replace(/\.$/, '')),
        Array.from({ length: 100 }, (_, i) => `${i}`),
      );
      assert.ok(found.sorted, 'in the order they were asked');
    });

    test('an aborted call stops soon, and the next one is answered', async () => {
      const found = await site.run(
        async ({ pipeline }, { worker, long, question: [question, context] }) => {
          const answer = await pipeline('question-answering', { worker });
          const rejection = (promise) =>
            promise.then(
              () => 'none',
              (error) => `${error.constructor.name} ${error.name}`,
            );
          await answer(question, context);
          const before = (await answer.counters()).ops;
          const running = new AbortController();
          const waiting = new AbortController();
          const calls = [
            answer('Who?', long, { signal: running.signal }),
            answer('What?', long, { signal: waiting.signal }),
          ].map(rejection);
          await new Promise((resolve) => {
            setTimeout(resolve, 400);
          });
          const during = (await answer.counters()).ops;
          waiting.abort();
          const early = await Promise.race([calls[0].then(() => 'the first'), calls[1].then(() => 'the second')]);
          const from = performance.now();
          running.abort();
          const errors = await Promise.all(calls);
          const took = performance.now() - from;
          const stopped = (await answer.counters()).ops;
          await new Promise((resolve) => {
            setTimeout(resolve, 200);
          });
          const later = (await answer.counters()).ops;
          const [best] = await answer(question, context);
          const aborted = AbortSignal.abort();
          errors.push(await rejection(answer(question, context, { signal: aborted })));
          errors.push(await rejection(pipeline('question-answering', { worker, signal: aborted })));
          await answer.dispose();
          return { took, errors, before, during, stopped, later, early, best: best.answer };
        },
        { worker, long: LONG, question: QUESTION },
      );
      assert.deepEqual(new Set(found.errors), new Set(['DOMException AbortError']));
      assert.ok(found.took < PROMPT, `${found.took} ms`);
      assert.equal(found.early, 'the second', 'a call that waits is rejected before the one ahead of it');
      assert.ok(found.during > found.before, 'it ran');
      assert.equal(found.later, found.stopped, 'it runs no more');
      // All its windows would be some thousand.
      assert.ok(found.stopped - found.before < 1500, `${found.stopped - found.before} ops`);
      assert.equal(found.best, 'London');
    });

    test('a call that is aborted while a long text is tokenized stops as soon', async () => {
      const found = await site.run(
        async ({ pipeline }, { worker, text, question: [question, context] }) => {
          const answer = await pipeline('question-answering', { worker });
          const long = text.repeat(Math.ceil(2e7 / text.length));
          const stop = new AbortController();
          const call = answer(question, long, { signal: stop.signal }).catch(({ name }) => name);
          // To hand the text over takes its time too.
          await new Promise((resolve) => {
            setTimeout(resolve, 500);
          });
          const { ops } = await answer.counters();
          const from = performance.now();
          stop.abort();
          const name = await call;
          const took = performance.now() - from;
          const [best] = await answer(question, context);
          await answer.dispose();
          return { ops, name, took, best: best.answer };
        },
        { worker, text: LONG, question: QUESTION },
      );
      assert.deepEqual([found.ops, found.name, found.best], [0, 'AbortError', 'London']);
      assert.ok(found.took < PROMPT, `${found.took} ms`);
    });

    test('loading can be aborted at any moment', async () => {
      const found = await site.run(
        async ({ pipeline }, { worker }) => {
          const names = [];
          for (const ms of [0, 5, 30, 80, 150]) {
            const abort = new AbortController();
            setTimeout(() => abort.abort(), ms);
            const loading = pipeline('question-answering', { worker, signal: abort.signal, cache: false });
            names.push(
              await loading.then(
                (answer) => answer.dispose().then(() => 'loaded'),
                (error) => error.name,
              ),
            );
          }
          const progress = new AbortController();
          const onProgress = ({ status }) => {
            if (status === 'progress') progress.abort();
          };
          names.push(
            await pipeline('question-answering', { worker, signal: progress.signal, onProgress, cache: false }).then(
              () => 'loaded',
              (error) => error.name,
            ),
          );
          const answer = await pipeline('question-answering', { worker });
          const [best] = await answer('Who?', 'Ada wrote it.');
          await answer.dispose();
          return { names, best: best.answer };
        },
        { worker },
      );
      assert.ok(
        found.names.every((name) => name === 'AbortError' || name === 'loaded'),
        `${found.names}`,
      );
      assert.equal(found.names[0], 'AbortError');
      assert.equal(found.names.at(-1), 'AbortError');
      assert.equal(found.best, 'Ada');
    });

    test('disposing ends what waits, once and for all', async () => {
      const found = await site.run(
        async ({ pipeline }, { worker, long }) => {
          const answer = await pipeline('question-answering', { worker });
          const rejection = (promise) =>
            promise.then(
              () => 'none',
              (error) => error.code,
            );
          const calls = [answer('Who?', long), answer('What?', long), answer('When?', long)].map(rejection);
          await new Promise((resolve) => {
            setTimeout(resolve, 200);
          });
          await Promise.all([answer.dispose(), answer.dispose()]);
          await answer.dispose();
          return Promise.all([...calls, rejection(answer('Who?', 'Ada.'))]);
        },
        { worker, long: LONG },
      );
      assert.deepEqual(found, ['cancelled', 'cancelled', 'cancelled', 'cancelled']);
    });

    test('what is wrong with a call is said by a code', async () => {
      const found = await site.run(
        async ({ pipeline }, { worker }) => {
          const rejection = (promise) =>
            promise.then(
              () => 'none',
              ({ name, code, message, index }) => ({ name, code, message, index }),
            );
          const answer = await pipeline('question-answering', { worker });
          const all = await Promise.all(
            [
              answer('', 'text'),
              answer('Who?', ''),
              answer(1, 'text'),
              answer('Who?'),
              answer('Who?', 'text', { topK: 0 }),
              answer('Who?', 'text', { topk: 3 }),
              answer('Who?', 'text', { topK: 'a' }),
              answer('Who?', 'text', { topK: 1, top_k: 2 }),
              answer('Who?', 'text', { maxSeqLen: 4 }),
              answer(['Who?', ' '], 'text'),
              answer(['a', 'b'], ['c', 'd', 'e']),
              answer('Who?', 'text', { signal: 1 }),
              answer(['Who?', 5], 'text'),
              pipeline('answering'),
              pipeline('fill-mask'),
              pipeline('question-answering', { device: 'gpu', worker }),
              pipeline('question-answering', { dtype: 'q8' }),
              pipeline('question-answering', { device: 'webgpu', worker }),
            ].map(rejection),
          );
          const named = await Promise.all(
            [
              answer('Who?', 'text', { topK: 0 }),
              answer('Who?', 'text', { maxSeqLen: 3 }),
              answer('Who? '.repeat(50), 'text', { maxSeqLen: 20 }),
              answer('Who?', 'text', { maxSeqLen: 20, docStride: 20 }),
              pipeline('question-answering', null, { dtype: 'q8' }),
              pipeline('question-answering', 'a/b', { model: './c/' }),
            ].map(rejection),
          );
          const none = [await answer([], 'text'), await answer([])];
          await answer.dispose();
          return { all, named: named.map(({ message }) => message), none };
        },
        { worker },
      );
      const codes = found.all.map(({ code }) => code);
      assert.deepEqual(
        codes,
        [
          'input',
          'input',
          'input',
          'input',
          'option',
          'option',
          'option',
          'option',
          'input',
          'input',
          'input',
          'option',
          'input',
          'option',
          'option',
          'option',
          'option',
          'gpu',
        ],
        JSON.stringify(found.all, null, 1),
      );
      assert.ok(found.all.every(({ name }) => name === 'ClozeError'));
      assert.deepEqual([found.all[9].index, found.all[12].index], [1, 1], 'which input it is');
      assert.match(found.all[5].message, /topk.*topK/);
      const words = [
        /^topK: it is 0/,
        /^maxSeqLen: /,
        /raise maxSeqLen$/,
        /^docStride: .*lower docStride/,
        /^dtype: /,
        /^model: .*twice/,
      ];
      for (const [i, word] of words.entries()) assert.match(found.named[i], word);
      assert.deepEqual(found.none, [[], []]);
    });

    test('an answer is cut from the context as it was when it was asked about', async () => {
      const found = await site.run(
        async ({ pipeline }, { worker, question: [question, context] }) => {
          const answer = await pipeline('question-answering', { worker });
          const inputs = [{ question, context }];
          const call = answer(inputs);
          inputs[0].context = 'Nobody knows.';
          inputs.length = 0;
          const [[best]] = await call;
          await answer.dispose();
          return best.answer;
        },
        { worker, question: QUESTION },
      );
      assert.equal(found, 'London');
    });

    test('offsets are of the text that was given, whatever is in it', async () => {
      const found = await site.run(
        async ({ pipeline }, { worker }) => {
          const answer = await pipeline('question-answering', { worker });
          // Half a surrogate pair is no character, and yet one unit long.
          const context = '\ud800 🦀🦀 Ada Lovelace \udc00 lived in Lo\u0301ndon 🏠, not in Paris. \ud83e';
          const answers = await answer('Where did Ada live?', context, { topK: 5 });
          await answer.dispose();
          return answers.map(({ answer: text, start, end }) => ({
            same: context.slice(start, end) === text,
            text: encodeURIComponent(text.replace(/\p{Surrogate}/gu, '?')),
          }));
        },
        { worker },
      );
      assert.equal(found.length, 5);
      assert.ok(found.every(({ same }) => same));
      assert.match(found[0].text, /Lo%CC%81ndon/);
    });
  });
}

test('workers that are none, or say nothing, or too much', async () => {
  const site = await openSite('none', { mounts: { '/support': SUPPORT } });
  try {
    const found = await site.run(async ({ pipeline }, question) => {
      const from = (worker, options) =>
        pipeline('question-answering', { worker, ...options }).then(
          async (answer) => {
            const [best] = await answer(...question);
            await answer.dispose();
            return `${best.answer} ${answer.worker}`;
          },
          ({ name, code, message }) => `${name} ${code ?? ''} ${message}`,
        );
      const script = (path) => new Worker(path, { type: 'module' });
      const all = [
        await from(() => undefined),
        await from(async () => 'not yet'),
        await from(() => {
          throw new RangeError('of the page');
        }),
        await from(() => script('/support/none.mjs')),
      ];
      const abort = new AbortController();
      const silent = from(() => script('/support/load-worker.mjs'), { signal: abort.signal });
      await new Promise((resolve) => {
        setTimeout(resolve, 200);
      });
      const asked = performance.now();
      abort.abort();
      all.push((await silent).split(' ')[0]);
      const took = performance.now() - asked;
      // One that is the package's, among other things.
      all.push(
        await from(() => {
          const worker = script('/dist/worker.js');
          setTimeout(() => worker.dispatchEvent(new MessageEvent('message', { data: null })));
          return worker;
        }),
      );
      return { all, took };
    }, QUESTION);
    const words = [
      /^ClozeError option worker: its function returns no worker/,
      /^ClozeError option worker: its function returns no worker/,
      /^RangeError {2}of the page/,
      /^ClozeError io The worker does not start/,
      /^AbortError$/,
      /^London true$/,
    ];
    for (const [i, word] of words.entries()) assert.match(found.all[i], word);
    assert.ok(found.took < PROMPT, `${found.took} ms`);
    assert.deepEqual(
      site.problems.filter((problem) => !problem.includes('404')),
      [],
    );
    assert.deepEqual(await workersLeft(site.page), [], 'all are ended');
  } finally {
    await site.close();
  }
});

test('in Node it answers on WebAssembly', async () => {
  const { pipeline } = await import('../dist/index.js');
  const answer = await pipeline('question-answering');
  const [best] = await answer(...QUESTION);
  assert.deepEqual([best.answer, answer.device, answer.worker], ['London', 'wasm', false]);
  assert.match(answer.reason, /no GPU/);
  await assert.rejects(pipeline('question-answering', { device: 'webgpu' }), { code: 'gpu' });
  await answer.dispose();
});

describe('without a GPU that is right', () => {
  const sites = [];
  const opened = async (...args) => {
    const site = await openSite(...args);
    sites.push(site);
    return site;
  };
  after(async () => {
    for (const site of sites) await site.close();
  });
  /** What `auto` takes in a page with `patch` applied to it, and an answer from there. */
  const auto = (site, patch = '') =>
    site.run(
      async ({ pipeline }, { patch, question }) => {
        new Function(patch)();
        const answer = await pipeline('question-answering', { worker: false });
        const [best] = await answer(...question);
        const { device, reason, adapter } = answer;
        await answer.dispose();
        return { device, reason, adapter, best: best.answer };
      },
      { patch, question: QUESTION },
    );
  const CSP = { csp: "script-src 'self' 'unsafe-eval' 'wasm-unsafe-eval'" };
  /** Makes a software adapter look like a real one. */
  const REAL = `
    Object.defineProperty(GPUAdapterInfo.prototype, 'isFallbackAdapter', { get: () => false });
    const { get } = Object.getOwnPropertyDescriptor(GPUAdapter.prototype, 'isFallbackAdapter') ?? {};
    if (get) Object.defineProperty(GPUAdapter.prototype, 'isFallbackAdapter', { get: () => false });`;

  test('no adapter: WebAssembly', async () => {
    const found = await auto(await opened('none', CSP));
    assert.deepEqual([found.device, found.best], ['wasm', 'London']);
    assert.match(found.reason, /no GPU/);
  });

  test('a fallback adapter: WebAssembly', async () => {
    const found = await auto(await opened('webgpu', CSP));
    assert.deepEqual([found.device, found.best], ['wasm', 'London']);
    assert.match(found.reason, /software/);
  });

  test('a real adapter that computes right: WebGPU', async () => {
    const found = await auto(await opened('webgpu', CSP), REAL);
    assert.deepEqual([found.device, found.best], ['webgpu', 'London'], found.reason);
  });

  test('a real adapter that computes wrong: WebAssembly', async () => {
    const wrong = `${REAL}
      const make = GPUDevice.prototype.createShaderModule;
      GPUDevice.prototype.createShaderModule = function (descriptor) {
        const { code } = descriptor;
        // As a driver whose square roots are a little off.
        return make.call(this, { ...descriptor, code: code.replace(/1\\.0 \\/ sqrt\\(/g, '1.01 / sqrt(') });
      };`;
    const found = await auto(await opened('webgpu', CSP), wrong);
    assert.deepEqual([found.device, found.best], ['wasm', 'London'], found.reason);
    assert.match(found.reason, /computes wrong.*layer_norm/);
  });
});

describe('a GPU that is lost', () => {
  let site;
  before(async () => {
    site = await openSite('webgpu', { mounts: { '/support': SUPPORT } });
  });
  after(() => site?.close());

  for (const worker of [true, false]) {
    test(`is replaced, and the answer is the same, ${worker ? 'in a worker' : 'in the page'}`, async () => {
      const found = await site.run(
        async ({ pipeline }, { worker, question: [question, context] }) => {
          const channel = new BroadcastChannel('gpu');
          const lose = () => channel.postMessage('destroy');
          if (!worker) await import('/support/losing.mjs');
          const made = worker && (() => new Worker('/support/losing-worker.mjs', { type: 'module' }));
          const answer = await pipeline('question-answering', { device: 'webgpu', worker: made });
          const texts = [context, `${'It rained for days. '.repeat(40)}${context}`];
          const ask = (text) => answer(question, text).then(([best]) => JSON.stringify(best));
          const right = [await ask(texts[0]), await ask(texts[1])];
          const sleep = (ms) =>
            new Promise((resolve) => {
              setTimeout(resolve, ms);
            });
          const idle = [];
          lose();
          await sleep(100);
          idle.push(await ask(texts[0]));
          // In the midst of a call, at several places.
          const during = [];
          for (const ms of [1, 20, 150]) {
            const call = ask(texts[1]);
            await sleep(ms);
            lose();
            during.push(await call);
          }
          const { recoveries } = await answer.counters();
          const { device } = answer;
          await answer.dispose();
          channel.close();
          return { right, idle, during, recoveries, device };
        },
        { worker, question: QUESTION },
      );
      assert.deepEqual(found.idle, [found.right[0]]);
      assert.deepEqual(found.during, [found.right[1], found.right[1], found.right[1]]);
      assert.match(found.right[0], /London/);
      assert.equal(found.device, 'webgpu');
      // A call may be done before its device is lost; then the next call's recovery counts for both.
      assert.ok(found.recoveries >= 3, `${found.recoveries} recoveries`);
    });
  }

  test('while it is replaced, the call can be aborted and the pipeline disposed of', async () => {
    const found = await site.run(async ({ pipeline }, question) => {
      const devices = [];
      const request = GPUAdapter.prototype.requestDevice;
      let slow = 0;
      GPUAdapter.prototype.requestDevice = async function (...args) {
        await sleep(slow);
        const device = await request.apply(this, args);
        devices.push(device);
        return device;
      };
      const sleep = (ms) =>
        new Promise((resolve) => {
          setTimeout(resolve, ms);
        });
      const lose = async () => {
        devices.forEach((device) => device.destroy());
        await sleep(50);
      };
      const answer = await pipeline('question-answering', { device: 'webgpu', worker: false });
      const ended = async (call) => [
        await call.then(
          ([best]) => best.answer,
          ({ name, code }) => (name === 'AbortError' ? name : code),
        ),
        performance.now(),
      ];
      await answer(...question);
      slow = 500;
      await lose();
      const abort = new AbortController();
      const aborted = ended(answer(...question, { signal: abort.signal }));
      await sleep(100);
      let from = performance.now();
      abort.abort();
      const all = [await aborted];
      all[0][1] -= from;
      all.push([(await ended(answer(...question)))[0], 0]);
      await lose();
      const disposed = ended(answer(...question));
      await sleep(100);
      from = performance.now();
      await answer.dispose();
      all.push(await disposed);
      all[2][1] -= from;
      return all;
    }, QUESTION);
    assert.deepEqual(
      found.map(([what]) => what),
      ['AbortError', 'London', 'cancelled'],
    );
    for (const [what, took] of found) assert.ok(took < PROMPT, `${what} after ${took} ms`);
  });

  test('an aborted call stops after the submission in flight', async () => {
    const found = await site.run(
      async ({ pipeline }, { question: [question, context], long }) => {
        const answer = await pipeline('question-answering', { device: 'webgpu' });
        await answer(question, context);
        const before = await answer.counters();
        const abort = new AbortController();
        const call = answer('Who?', long, { signal: abort.signal }).then(
          () => 'none',
          (error) => error.name,
        );
        await new Promise((resolve) => {
          setTimeout(resolve, 1000);
        });
        abort.abort();
        const name = await call;
        const stopped = await answer.counters();
        await new Promise((resolve) => {
          setTimeout(resolve, 500);
        });
        const later = await answer.counters();
        const [best] = await answer(question, context);
        await answer.dispose();
        return { name, before, stopped, later, best: best.answer };
      },
      { question: QUESTION, long: LONG },
    );
    assert.equal(found.name, 'AbortError');
    assert.deepEqual(found.later, found.stopped);
    assert.ok(found.stopped.ops > found.before.ops, 'it ran');
    assert.ok(found.stopped.ops - found.before.ops < 500, `${found.stopped.ops - found.before.ops} ops`);
    assert.equal(found.best, 'London');
  });
});
