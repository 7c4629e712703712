// An engine's queue in a server, where it lives long and many strangers share it.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { pipeline } from '../dist/index.js';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc');

const QUESTION = 'Where is Ada?';
const CONTEXT = 'Ada lives in Rome.';
let answer;

before(async () => void (answer = await pipeline('question-answering')));
after(() => answer?.dispose());

/** Gives up a call: what it was rejected with. */
async function givenUp() {
  const stop = new AbortController();
  stop.abort();
  const error = await answer(QUESTION, CONTEXT, { signal: stop.signal }).catch((reason) => reason);
  assert.equal(error, stop.signal.reason);
  return new WeakRef(error);
}

test('nothing of a call is kept when it is over', async () => {
  const reasons = [];
  for (let i = 0; i < 3; i++) {
    reasons.push(await givenUp());
    await answer(QUESTION, CONTEXT);
  }
  // What a weak reference has been asked for lives until the turn is over.
  for (let i = 0; i < 20 && reasons.some((reason) => reason.deref()); i++) {
    await new Promise((over) => setTimeout(over, 20));
    collect();
  }
  assert.deepEqual(
    reasons.map((reason) => reason.deref()),
    [undefined, undefined, undefined],
  );
});

test('all else has its turn between calls that wait, however short they are', async () => {
  const order = [];
  const calls = ['a', 'b', 'c', 'd'].map((name) => answer(QUESTION, CONTEXT).then(() => order.push(name)));
  setImmediate(() => order.push('first'));
  // From each call's end on there is a turn before the end of the next.
  void calls[0].then(() => setImmediate(() => order.push('second')));
  void calls[1].then(() => setImmediate(() => order.push('third')));
  await Promise.all(calls);
  assert.deepEqual(order, ['first', 'a', 'second', 'b', 'third', 'c', 'd']);
});

test('a call that is given up in the queue ends at once, and those behind it keep their place', async () => {
  const stop = new AbortController();
  const order = [];
  const ended = (name) => () => order.push(name);
  const calls = [
    answer(QUESTION, CONTEXT).then(ended('a')),
    answer(QUESTION, CONTEXT, { signal: stop.signal }).catch(ended('given up')),
    answer(QUESTION, CONTEXT).then(ended('b')),
  ];
  stop.abort();
  await Promise.all(calls);
  assert.deepEqual(order, ['given up', 'a', 'b']);
});

test('thousands of calls on one signal take no time to make or to give up, and warn of nothing', async () => {
  const warnings = [];
  const warn = (warning) => warnings.push(warning);
  process.on('warning', warn);
  const stop = new AbortController();
  const many = (count) =>
    Array.from({ length: count }, () => answer(QUESTION, CONTEXT, { signal: stop.signal }).catch(({ name }) => name));
  const begun = performance.now();
  const calls = many(8000);
  stop.abort();
  assert.deepEqual(new Set(await Promise.all(calls)), new Set(['AbortError']));
  const took = performance.now() - begun;
  assert.ok(took < 4000, `${took} ms`);
  assert.equal((await answer(QUESTION, CONTEXT))[0].answer, 'Rome');
  // Nor do calls that are over leave anything at a signal that lives on.
  const lasting = new AbortController();
  let listeners = 0;
  const { addEventListener, removeEventListener } = EventTarget.prototype;
  lasting.signal.addEventListener = function (...args) {
    listeners += 1;
    return addEventListener.apply(this, args);
  };
  lasting.signal.removeEventListener = function (...args) {
    listeners -= 1;
    return removeEventListener.apply(this, args);
  };
  await Promise.all(Array.from({ length: 50 }, () => answer(QUESTION, CONTEXT, { signal: lasting.signal })));
  await new Promise((over) => setTimeout(over, 10));
  assert.equal(listeners, 0);
  process.off('warning', warn);
  assert.deepEqual(warnings, []);
});

test('more text than a call may have is refused at once, and the next call is answered', async () => {
  const huge = '.'.repeat(2 ** 25 + 1);
  const begun = performance.now();
  const calls = [
    answer(QUESTION, huge),
    answer(huge, CONTEXT),
    answer.explain(QUESTION, huge),
    answer(Array(10).fill(QUESTION), huge.slice(2 ** 24)),
  ];
  for (const call of calls.slice(0, 3))
    await assert.rejects(call, { name: 'ClozeError', code: 'memory', message: /^A text has more than 33554432/ });
  await assert.rejects(calls[3], { name: 'ClozeError', code: 'memory', message: /^The call has more than 134217728/ });
  assert.ok(performance.now() - begun < 2000);
  assert.equal((await answer(QUESTION, CONTEXT))[0].answer, 'Rome');
});
