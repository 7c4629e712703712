// What the service holds out: memory in workerd, and 2,000 questions by 50 clients in both runtimes at once.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { prepare, startNode, startWorkerd } from './support/app.mjs';
import { agent, ask, resident } from './support/client.mjs';
import { inspect } from './support/inspector.mjs';

const MB = 1e6;
/** What an isolate may have on Cloudflare's servers. */
const MOST_MEMORY = 128 * MB;
const WEIGHTS = 23_473_728;
const QUESTIONS = 2000;
const CLIENTS = 50;

const NAMES = (
  'Ada Alan Anna Ben Carl Clara David Emma Eric Eva Frank George Grace Hans Helen Henry Ida Irene Jack James Jane John ' +
  'Julia Karl Laura Lena Leo Lucy Maria Mark Martin Max Nina Oscar Otto Paul Peter Rosa Ruth Sam'
).split(' ');
const CITIES = (
  'Amsterdam Athens Bangkok Barcelona Beijing Berlin Boston Brussels Budapest Cairo Chicago Copenhagen Dallas Delhi Denver ' +
  'Dublin Florence Geneva Hamburg Helsinki Houston Istanbul Jakarta Lisbon London Madrid Manila Melbourne Milan Montreal Moscow Mumbai ' +
  'Munich Nairobi Naples Oslo Paris Prague Rome Seattle Seoul Shanghai Singapore Stockholm Sydney Tokyo Toronto Venice Vienna Warsaw'
).split(' ');

/** The question that is asked as number `i` below 2,000, no two alike, and its answer. */
function asked(i) {
  const [name, city] = [NAMES[i % NAMES.length], CITIES[Math.floor(i / NAMES.length) % CITIES.length]];
  return { question: `Where is ${name}?`, context: `${name} lives in ${city}.`, answer: city };
}

const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Asks as many questions with so many clients, each until it has its answer. `passed` is told of every answer. */
async function load(url, questions, clients, passed = () => {}) {
  let [next, done, busy] = [0, 0, 0];
  const client = async () => {
    // A line of its own, which is never idle for as long as servers wait before they close one.
    const line = agent(1);
    while (next < questions) {
      const { question, context, answer } = asked(next++);
      let got;
      while ((got = await ask(url, question, context, { agent: line })).status === 503) {
        busy += 1;
        assert.equal(got.json.error.code, 'busy');
        const seconds = Number(got.headers['retry-after']);
        assert.ok(seconds > 0 && seconds <= 5, `Retry-After: ${got.headers['retry-after']}`);
        await later(1000 * seconds);
      }
      assert.equal(got.status, 200, got.text);
      const [best] = got.json.answers;
      assert.deepEqual([best.answer, context.slice(best.start, best.end)], [answer, answer]);
      await passed((done += 1));
    }
    line.destroy();
  };
  const begun = performance.now();
  await Promise.all(Array.from({ length: clients }, client));
  return { done, busy, seconds: (performance.now() - begun) / 1000 };
}

const servers = [];
const started = async (starting) => {
  const server = await starting;
  servers.push(server);
  return server;
};

before(prepare);
after(() => Promise.all(servers.map((server) => server.stop())));

test('in workerd all memory stays below 128 MB, with one copy of the weights', async (t) => {
  const server = await started(startWorkerd('service/README.md', 'service'));
  const before = await resident(server.pid);
  const inspector = await inspect(server.inspector);
  let [heap, over] = [0, false];
  const watch = async () => {
    while (!over) {
      const usage = await inspector.send('Runtime.getHeapUsage');
      heap = Math.max(heap, usage.usedSize + usage.embedderHeapUsedSize + usage.backingStorageSize);
      await later(25);
    }
  };
  const watching = watch();
  const { done } = await load(server.url, 200, 20);
  over = true;
  await watching;
  // WebAssembly's memory never shrinks: what it is now is the most it was.
  const memories = await inspector.sizes('WebAssembly.Memory');
  const buffers = await inspector.sizes('ArrayBuffer');
  inspector.close();
  assert.equal(done, 200);
  assert.equal(memories.length, 1);
  const [wasm] = memories;
  const peak = wasm + heap;
  const { most } = await resident(server.pid);
  const mb = (bytes) => `${(bytes / MB).toFixed(1)} MB`;
  t.diagnostic(
    `WebAssembly ${mb(wasm)}, heap and buffers at most ${mb(heap)}; the process grew by ${mb(most - before.now)}`,
  );
  assert.ok(wasm > WEIGHTS && wasm < 2 * WEIGHTS, `${mb(wasm)} hold one copy of ${mb(WEIGHTS)}`);
  assert.ok(peak < MOST_MEMORY, mb(peak));
  assert.ok(most - before.now < MOST_MEMORY, mb(most - before.now));
  // The memory's own buffer is one of them.
  const others = buffers.reduce((sum, bytes) => sum + bytes, 0) - wasm;
  assert.ok(others < MB, `${mb(others)} in buffers beside it`);
  await server.stop();
});

test(`${QUESTIONS} questions by ${CLIENTS} clients: none is lost, memory is flat`, async (t) => {
  const runtimes = { Node: startNode({ inspected: true }), workerd: startWorkerd('service/README.md', 'service') };
  await Promise.all(
    Object.entries(runtimes).map(async ([name, starting]) => {
      const { url, pid, inspector: address } = await started(starting);
      const inspector = await inspect(address);
      const after = [];
      const { done, busy, seconds } = await load(url, QUESTIONS, CLIENTS, async (count) => {
        if (count % (QUESTIONS / 8) !== 0) return;
        await inspector.collect();
        after.push((await resident(pid)).now);
      });
      inspector.close();
      assert.equal(done, QUESTIONS);
      assert.ok(busy > 0, 'the queue has an end');
      const figures = after.map((bytes) => (bytes / MB).toFixed(1)).join(', ');
      t.diagnostic(`${name}: ${seconds.toFixed(1)} s, ${busy} times busy; MB after each eighth: ${figures}`);
      const [half, whole] = [after[3], after[7]];
      assert.ok(whole < 1.05 * half, `${name}: ${figures} MB`);
    }),
  );
});
