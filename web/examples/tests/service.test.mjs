// The service in Node and in workerd: what it takes, what it refuses and how, and that it goes on after all of it.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { prepare, startNode, startWorkerd } from './support/app.mjs';
import { inspect } from './support/inspector.mjs';
import { ask, line, resident, send } from './support/client.mjs';

const CONTEXT = 'Ada lives in Rome.';
const QUESTION = 'Where is Ada?';
/** About a second of work and more; and enough to be seen at work, far from the most that a request may cost. */
const LONG = 'The castle was built by the king of the hill in the year of the great storm. '.repeat(80);
const SHORTER = LONG.slice(0, 2000);
const MB = 1e6;

const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const json = { 'content-type': 'application/json' };

/** The refusal with this status and code, in the form that all have. */
function refuses(got, status, code) {
  assert.equal(got.status, status, got.text);
  assert.deepEqual(Object.keys(got.json), ['error']);
  assert.deepEqual(Object.keys(got.json.error), ['code', 'message']);
  assert.equal(got.json.error.code, code);
  assert.match(got.json.error.message, /^.{5,300}$/);
  assert.equal(got.headers['cache-control'], 'no-store');
}

/** It answers right, and nothing of the requests before is left. */
async function isWell(url) {
  const got = await ask(url, QUESTION, CONTEXT);
  assert.deepEqual([got.status, got.json?.answers[0].answer], [200, 'Rome'], got.text);
  const { json } = await send(url, '/health', { method: 'GET' });
  assert.deepEqual(json, { status: 'ok', reading: 0, working: 0 });
}

before(prepare);

// Side by side: much of the time is waiting for time limits.
describe('the service', { concurrency: true }, () => {
  for (const [runtime, starting] of [
    ['Node', startNode],
    ['workerd', () => startWorkerd('service/README.md', 'service')],
  ]) {
    describe(runtime, { concurrency: 1 }, () => {
      let server;
      let url;
      before(async () => {
        server = await starting();
        ({ url } = server);
      });
      after(() => server.stop());

      test('who leaves while the model is loaded takes it from nobody', async () => {
        await assert.rejects(ask(url, QUESTION, LONG, { leave: 15 }));
        await isWell(url);
      });

      test('it answers, with offsets in UTF-16 and as many answers as are asked for', async () => {
        const context = '🙂 Grace Hopper\u0000 was born in New York\ud800 in 1906. 🙂';
        const got = await ask(url, 'Where was Grace Hopper born?', context, { fields: { topK: 3 } });
        assert.equal(got.status, 200, got.text);
        assert.match(got.headers['content-type'], /^application\/json/);
        const { answers } = got.json;
        assert.ok(answers.length > 1 && answers.length <= 3);
        assert.match(answers[0].answer, /^New York/);
        for (const { answer, start, end, score } of answers) {
          assert.equal(answer, context.slice(start, end));
          assert.ok(score > 0 && score <= 1);
        }
      });

      test('health, for GET and HEAD', async () => {
        assert.deepEqual((await send(url, '/health', { method: 'GET' })).json, {
          status: 'ok',
          reading: 0,
          working: 0,
        });
        const head = await send(url, '/health?a=b', { method: 'HEAD' });
        assert.deepEqual([head.status, head.text], [200, '']);
      });

      test('other paths and methods', async () => {
        for (const path of [
          '/',
          '/answers',
          '/answer/',
          '//answer',
          '/__proto__',
          '/constructor',
          '/%00',
          '/health/../x',
        ]) {
          refuses(await send(url, path, { method: 'GET' }), 404, 'not_found');
        }
        for (const method of ['GET', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']) {
          const got = await send(url, '/answer', { method });
          refuses(got, 405, 'method');
          assert.equal(got.headers.allow, 'POST');
        }
        const got = await send(url, '/health', { body: {} });
        refuses(got, 405, 'method');
        assert.equal(got.headers.allow, 'GET, HEAD');
        const head = await send(url, '/answer', { method: 'HEAD' });
        assert.deepEqual([head.status, head.text, head.headers.allow], [405, '', 'POST']);
      });

      test('other types of content', async () => {
        const body = JSON.stringify({ question: QUESTION, context: CONTEXT });
        const types = [
          'text/plain',
          'application/jsonp',
          'application/json; charset=latin1',
          'multipart/form-data',
          'application/json, text/plain',
        ];
        for (const type of types) {
          refuses(await send(url, '/answer', { headers: { 'content-type': type }, body }), 415, 'content_type');
        }
        refuses(await send(url, '/answer', { headers: { 'content-encoding': 'gzip' }, body }), 415, 'content_type');
        const got = await send(url, '/answer', { headers: { 'content-type': 'Application/JSON;charset=UTF-8' }, body });
        assert.equal(got.status, 200, got.text);
      });

      test('bodies that are no JSON', async () => {
        const deep = '['.repeat(30_000);
        for (const body of [
          '',
          ' ',
          '{',
          '{"question"',
          "{'question': 1}",
          'null null',
          '\u0000',
          deep,
          `{"question": ${deep}`,
        ]) {
          refuses(await send(url, '/answer', { headers: json, body }), 400, 'json');
        }
        const bytes = Buffer.from('{"question": "\xff\xfe", "context": "x"}', 'latin1');
        refuses(await send(url, '/answer', { headers: json, body: bytes }), 400, 'body');
      });

      test('fields that are wrong', async () => {
        const ok = { question: QUESTION, context: CONTEXT };
        const nested = `${'['.repeat(20_000)}${']'.repeat(20_000)}`;
        const wrong = [
          'null',
          '[]',
          '"text"',
          '1',
          '{}',
          '{"question": "x"}',
          `{"question": ${nested}, "context": "x"}`,
          `[${nested}]`,
          '{"__proto__": {"question": "x", "context": "y"}}',
          '{"__proto__": 1, "question": "x", "context": "y"}',
          '{"constructor": {"prototype": 1}, "question": "x", "context": "y"}',
        ];
        for (const fields of [
          { question: 1 },
          { question: ['a'] },
          { context: null },
          { context: {} },
          { context: true },
          { topK: 0 },
          { topK: 11 },
          { topK: 1.5 },
          { topK: '1' },
          { topK: null },
          { topK: -1 },
          { device: 'webgpu' },
          { toString: 1 },
        ]) {
          wrong.push(JSON.stringify({ ...ok, ...fields }));
        }
        for (const body of wrong) refuses(await send(url, '/answer', { headers: json, body }), 422, 'fields');
        for (const fields of [{ question: '' }, { question: ' \n\t ' }, { context: '' }, { context: '\u2003' }]) {
          refuses(await send(url, '/answer', { body: { ...ok, ...fields } }), 422, 'empty');
        }
        refuses(await ask(url, 'x'.repeat(501), CONTEXT), 422, 'too_long');
        refuses(await ask(url, QUESTION, 'x'.repeat(10_001)), 422, 'too_long');
        refuses(await ask(url, 'a '.repeat(250), CONTEXT), 422, 'too_long');
        refuses(await ask(url, QUESTION, '. '.repeat(5000)), 422, 'too_long');
      });

      test('texts without a word are answered or refused, never an error of the service', async () => {
        for (const text of [
          '\u0000\u0000',
          '\ud800',
          '\u200b',
          '🙂'.repeat(60),
          '\u0301'.repeat(190),
          'x'.repeat(190),
          '['.repeat(60),
        ]) {
          for (const [question, context] of [
            [text, CONTEXT],
            [QUESTION, text],
          ]) {
            const got = await ask(url, question, context);
            if (got.status === 200)
              assert.ok(got.json.answers.every(({ answer, start, end }) => answer === context.slice(start, end)));
            else refuses(got, 422, 'input');
          }
        }
      });

      test('bodies that are too large, whatever they say of themselves', async () => {
        refuses(await send(url, '/answer', { headers: json, body: Buffer.alloc(64 * 1024 + 1, 32) }), 413, 'too_large');
        const before = await resident(server.pid);
        const claim = line(url);
        await claim.write(
          'POST /answer HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 99999999999\r\n\r\n{',
        );
        while (!claim.text.includes('too_large')) await later(20);
        assert.match(claim.text, /^HTTP\/1\.1 413 /);
        claim.socket.destroy();
        // Chunks without an end: the refusal comes while they are sent, and who goes on has the line cut.
        const flood = line(url);
        let sent = 0;
        const chunk = `10000\r\n${' '.repeat(65_536)}\r\n`;
        await flood.write(
          'POST /answer HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n',
        );
        while (!flood.text && (await flood.write(chunk))) await later(2);
        assert.match(flood.text, /^HTTP\/1\.1 413 /);
        while (sent < 1000 * MB && (await flood.write(chunk))) sent += chunk.length;
        assert.ok(sent < 1000 * MB, `${sent} bytes were taken`);
        const { now } = await resident(server.pid);
        assert.ok(now < before.now + 32 * MB, `${(before.now / MB).toFixed(1)} MB became ${(now / MB).toFixed(1)} MB`);
        await isWell(url);
      });

      test('headers in masses', async () => {
        const floods = [`x: ${'y'.repeat(2_000_000)}\r\n`, 'x-many: y\r\n'.repeat(200_000)];
        for (const headers of [...floods, 'nonsense\u0000\r\n', 'nonsense\r\n', ': x\r\n']) {
          const attack = line(url);
          void attack.write(`GET /health HTTP/1.1\r\nhost: x\r\n${headers}\r\n`);
          assert.match(await attack.over, floods.includes(headers) ? /^HTTP\/1\.1 431 / : /^HTTP\/1\.1 400 /);
        }
        await isWell(url);
      });

      test('a body that comes drop by drop', async () => {
        const drops = line(url);
        const begun = performance.now();
        await drops.write(
          'POST /answer HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n',
        );
        while (!drops.text && performance.now() - begun < 15_000) {
          await drops.write(' ');
          await later(100);
        }
        assert.match(drops.text, /^HTTP\/1\.1 408 [^]*slow_body/);
        assert.ok(performance.now() - begun < 7000);
        drops.socket.destroy();
        await isWell(url);
      });

      test('who leaves is not worked for any more', async () => {
        const begun = performance.now();
        const gone = Array.from({ length: 12 }, () => ask(url, QUESTION, LONG, { leave: 200 }));
        for (const { status } of await Promise.allSettled(gone)) assert.equal(status, 'rejected');
        while ((await send(url, '/health', { method: 'GET' })).json.working > 0) await later(20);
        assert.ok(performance.now() - begun < 3000, 'so many seconds of work are not done');
        await isWell(url);
      });

      test('requests that cost as much as they may do not keep others from their answers', async () => {
        // A question as long as it may be, and punctuation, which has the most tokens a character.
        const costly = ask(url, 'a '.repeat(64), '. '.repeat(4000));
        await later(100);
        const others = await Promise.all([1, 2, 3].map(() => ask(url, QUESTION, CONTEXT)));
        assert.deepEqual(
          others.map(({ status, json }) => [status, json.answers?.[0].answer]),
          [
            [200, 'Rome'],
            [200, 'Rome'],
            [200, 'Rome'],
          ],
        );
        const { status, json, text } = await costly;
        assert.ok(status === 200 || json.error.code === 'too_costly', text);
        // What is beyond the limits is refused at once.
        const begun = performance.now();
        for (let i = 0; i < 20; i++) refuses(await ask(url, 'a '.repeat(250), '. '.repeat(5000)), 422, 'too_long');
        assert.ok(performance.now() - begun < 3000);
        await isWell(url);
      });

      test('many at once, of every kind, keep apart', async () => {
        const cities = ['Rome', 'Paris', 'Berlin', 'Madrid', 'Vienna', 'Oslo'];
        await Promise.all(
          cities.flatMap((city, i) => [
            ask(url, 'Where is Ada?', `Ada lives in ${city}.`, { fields: { topK: 1 + (i % 3) } }).then(({ json }) => {
              assert.equal(json.answers[0].answer, city);
              assert.ok(json.answers.length <= 1 + (i % 3));
            }),
            ask(url, 'Who lives there?', `${city.toUpperCase()} is where Grace ${i} lives.`, {
              fields: { topK: 99 },
            }).then((got) => refuses(got, 422, 'fields')),
            assert.rejects(ask(url, 'Where?', LONG, { leave: 50 + 10 * i })),
          ]),
        );
        await isWell(url);
      });
    });
  }

  describe('Node alone', { concurrency: 1 }, () => {
    test('what is no request of the fetch API is refused in words', async () => {
      const { url, stop } = await startNode();
      const get = ['//', '//:', 'http://[/', 'http://x:99999/health', 'http://a:b@x/health'].map(
        (path) => `GET ${path}`,
      );
      for (const first of [...get, 'TRACE /health']) {
        const strange = line(url);
        await strange.write(`${first} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`);
        assert.match(await strange.over, /^HTTP\/1\.1 400 [^]*"code":"request"/, first);
      }
      await isWell(url);
      await stop();
    });

    test('a few requests may come ahead of their answers; who sends masses has the line cut', async () => {
      const { url, pid, inspector: address, stop } = await startNode({ inspected: true });
      const inspector = await inspect(address);
      const body = JSON.stringify({ question: QUESTION, context: SHORTER });
      const slow = `POST /answer HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
      const health = 'GET /health HTTP/1.1\r\nhost: x\r\n\r\n';
      const few = line(url);
      await few.write(slow + health.repeat(5));
      while (few.text.split('HTTP/1.1 200').length < 7) await later(20);
      few.socket.destroy();
      await inspector.collect();
      const before = await resident(pid);
      const masses = Array.from({ length: 10 }, () => line(url));
      for (const { write } of masses) void write(slow + health.repeat(20_000));
      for (const { over } of masses) assert.doesNotMatch(await over, /200/);
      await inspector.collect();
      const { now } = await resident(pid);
      inspector.close();
      assert.ok(now < before.now + 64 * MB, `${(before.now / MB).toFixed(1)} MB became ${(now / MB).toFixed(1)} MB`);
      await isWell(url);
      await stop();
    });

    test('headers drop by drop are cut off', async () => {
      const { url, stop } = await startNode();
      const drops = line(url);
      const begun = performance.now();
      let over = false;
      void drops.over.then(() => (over = true));
      await drops.write('GET /health HTTP/1.1\r\nhost: x\r\n');
      while (!over && performance.now() - begun < 15_000) {
        await drops.write('x-drop: y\r\n');
        await later(100);
      }
      assert.match(await drops.over, /^HTTP\/1\.1 408 /);
      assert.ok(performance.now() - begun < 8000);
      await stop();
    });

    test('on SIGTERM it finishes what it has begun, and nothing else', async () => {
      const { url, stop, ended } = await startNode();
      const begun = ask(url, 'Who built the castle?', SHORTER);
      while ((await send(url, '/health', { method: 'GET' })).json.working === 0) await later(5);
      const stopping = stop();
      await later(100);
      await assert.rejects(send(url, '/health', { method: 'GET' }), { code: 'ECONNREFUSED' });
      const { status, headers, json } = await begun;
      assert.deepEqual([status, headers.connection], [200, 'close']);
      assert.match(json.answers[0].answer, /king/);
      await stopping;
      const { code, signal, written } = await ended;
      assert.deepEqual([code, signal, written.trim()], [0, null, url]);
    });
  });
});
