// The service's function by itself, in this process: time limits, the queue's end, faults of its own.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { join } from 'node:path';
import { APP, prepare } from './support/app.mjs';

const LONG = 'The castle was built by the king of the hill in the year of the great storm. '.repeat(100);
const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

let service;
let pipeline;
let answer;

before(async () => {
  prepare();
  const load = (path) => import(pathToFileURL(join(APP, path)).href);
  ({ service } = await load('service/service.js'));
  ({ pipeline } = await load('node_modules/cloze/dist/index.js'));
  answer = await pipeline('question-answering');
});
after(() => answer?.dispose());

function request(body, init = {}) {
  const headers = { 'content-type': 'application/json' };
  return new Request('http://service/answer', { method: 'POST', headers, body: JSON.stringify(body), ...init });
}

const asks = (context, init) => request({ question: 'Who built the castle?', context }, init);

async function refused(promise, status, code) {
  const response = await promise;
  assert.equal(response.status, status);
  assert.equal((await response.json()).error.code, code);
  return response;
}

/** The engine rests: it has stopped, and not only its answer been thrown away. */
async function rests() {
  const { ops } = await answer.counters();
  await later(300);
  assert.equal((await answer.counters()).ops, ops);
}

test('an answer that takes too long is stopped', async () => {
  const handle = service(answer, { answerTime: 150 });
  const begun = performance.now();
  await refused(handle(asks(LONG)), 504, 'timeout');
  assert.ok(performance.now() - begun < 1000);
  await rests();
});

test('time in the queue counts, and who has waited too long leaves it', async () => {
  const handle = service(answer, { answerTime: 300 });
  const all = await Promise.all(Array.from({ length: 5 }, () => handle(asks(LONG))));
  assert.deepEqual(
    all.map(({ status }) => status),
    [504, 504, 504, 504, 504],
  );
  await rests();
  assert.equal((await handle(asks('Ada built the castle.'))).status, 200);
});

test('who goes away is not worked for', async () => {
  const handle = service(answer);
  const gone = new AbortController();
  const waiting = handle(asks(LONG, { signal: gone.signal }));
  await later(100);
  gone.abort();
  await refused(waiting, 499, 'gone');
  await rests();
  await refused(handle(asks(LONG, { signal: AbortSignal.abort() })), 499, 'gone');
});

test('the queue has an end, and room again when it is shorter', async () => {
  const ends = [];
  const handle = service((question, context) => new Promise((resolve) => ends.push(() => resolve([context]))), {
    queue: 3,
  });
  const waiting = ['a', 'b', 'c'].map((context) => [context, handle(asks(context))]);
  await later(20);
  const { headers } = await refused(handle(asks('d')), 503, 'busy');
  assert.equal(headers.get('retry-after'), '1');
  assert.equal(ends.length, 1, 'one at a time');
  ends[0]();
  await waiting[0][1];
  waiting.push(['e', handle(asks('e'))]);
  for (const [i, [context, promise]] of waiting.entries()) {
    while (!ends[i]) await later(5);
    ends[i]();
    assert.deepEqual(await (await promise).json(), { answers: [context] });
  }
});

test('a request may be worked on for so long, and those behind it are served', async () => {
  const handle = service(answer, { workTime: 200 });
  const begun = performance.now();
  const all = [handle(asks(LONG)), handle(asks(LONG)), handle(asks('The king built the castle.'))];
  await refused(all[0], 422, 'too_costly');
  // The time that the first one took was not the second one's.
  assert.ok(performance.now() - begun >= 200);
  await refused(all[1], 422, 'too_costly');
  assert.ok(performance.now() - begun >= 400);
  assert.equal((await all[2]).status, 200);
  await rests();
});

test('who leaves the queue lets nobody past those before it', async () => {
  const order = [];
  const ends = [];
  const handle = service(
    (_, context) =>
      new Promise((resolve) => {
        order.push(context);
        ends.push(() => resolve([]));
      }),
  );
  const gone = new AbortController();
  const first = handle(asks('a'));
  await later(20);
  const second = handle(asks('b', { signal: gone.signal }));
  await later(20);
  const third = handle(asks('c'));
  await later(20);
  gone.abort();
  await refused(second, 499, 'gone');
  await later(20);
  assert.deepEqual(order, ['a']);
  ends[0]();
  assert.equal((await first).status, 200);
  while (ends.length < 2) await later(5);
  assert.deepEqual(order, ['a', 'c']);
  ends[1]();
  assert.equal((await third).status, 200);
});

test('tokens are limited before a request enters the queue, whatever they are made of', async () => {
  const handle = service(() => Promise.reject(new Error('it was worked on')));
  const costly = [
    '. '.repeat(5000),
    '漢'.repeat(5000),
    '한글 '.repeat(2000),
    'a '.repeat(5000),
    '🙂'.repeat(4500),
    '8. '.repeat(3000),
  ];
  for (const context of costly) await refused(handle(asks(context)), 422, 'too_long');
  const questions = ['a '.repeat(250), '?'.repeat(400), '漢'.repeat(200), 'x1 '.repeat(150)];
  for (const question of questions)
    await refused(handle(request({ question, context: 'Ada built it.' })), 422, 'too_long');
  // Prose of the greatest length is taken.
  const prose = 'The castle was built by the king of the hill, in the year of the great storm. '
    .repeat(200)
    .slice(0, 10_000);
  const got = await service(async () => [])(
    request({ question: 'Who built the castle, and in which year was it?', context: prose }),
  );
  assert.equal(got.status, 200);
});

test('so have bodies that are on their way', async () => {
  const handle = service(answer, { bodies: 2, bodyTime: 200 });
  let cancelled = 0;
  const never = () => new ReadableStream({ cancel: () => void cancelled++ });
  const slow = () => handle(asks('', { body: never(), duplex: 'half' }));
  const waiting = [slow(), slow()];
  await refused(handle(asks('Ada built it.')), 503, 'busy');
  for (const promise of waiting) await refused(promise, 408, 'slow_body');
  assert.equal(cancelled, 2);
  assert.equal((await handle(asks('Ada built it.'))).status, 200);
});

test('a fault of its own is told to the operator alone', async (t) => {
  const told = t.mock.method(console, 'error', () => {});
  const handle = service(() => Promise.reject(new Error('/secret/path')));
  const response = await handle(asks('Ada built it.'));
  assert.equal(response.status, 500);
  assert.ok(!(await response.text()).includes('secret'));
  assert.match(String(told.mock.calls[0].arguments[0]), /secret/);
});
