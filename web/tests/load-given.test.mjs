// Models whose files the caller gives, and the module from an import: what servers at the edge do, here in Node.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from '../dist/index.js';
import { digests, model, noise } from './support/host.mjs';
import { WEB } from './support/server.mjs';
import { load } from './support/sinks.mjs';

const MODULE = new URL('../dist/load/index.js', import.meta.url).href;
const files = model(noise(3 << 20));

const refuses = (promise, code, words) =>
  assert.rejects(promise, (error) => {
    assert.equal(`${error.name} ${error.code}`, `ClozeError ${code}`, error.message);
    assert.match(error.message, words);
    return true;
  });

const given = (give, options = {}) => load(give, options, MODULE);
/** All files as they are, but for what `other` gives of one. */
const but = (file, other) => (name) => (name === file ? other() : files[name]);

function stream(bytes, step = 100_000) {
  let at = 0;
  return new ReadableStream({
    pull(controller) {
      if (at >= bytes.length) return controller.close();
      controller.enqueue(new Uint8Array(bytes.subarray(at, (at += step))));
    },
  });
}

const whole = (bytes) => new Uint8Array(bytes).buffer;
const sized = (bytes) => ({ headers: { 'content-length': String(bytes.length) } });

/** How a file may be given, and whether its size is known then, so that memory is taken once. */
const BODIES = {
  bytes: [(bytes) => new Uint8Array(bytes), true],
  'a part of a buffer': [(bytes) => new DataView(whole(Buffer.concat([Buffer.alloc(9), bytes])), 9), true],
  'an ArrayBuffer': [whole, true],
  'a Blob': [(bytes) => new Blob([bytes]), true],
  'a stream': [(bytes) => stream(bytes), false],
  'a Response with its length': [(bytes) => new Response(stream(bytes), sized(bytes)), true],
  'a Response without': [(bytes) => new Response(stream(bytes)), false],
  'a promise': [async (bytes) => new Response(bytes, sized(bytes)), true],
};

for (const [what, [give, isSized]] of Object.entries(BODIES)) {
  test(`files as ${what}`, async () => {
    const got = await given((file) => files[file] && give(files[file]));
    assert.deepEqual(got.sha256, digests(files));
    assert.deepEqual(got.files.at(-1), 'model.safetensors');
    assert.deepEqual(got.begun['model.safetensors'], [isSized ? files['model.safetensors'].length : null]);
    assert.equal(got.cached, false);
  });
}

test('what is not there: nothing, null, 404, 410', async () => {
  for (const nothing of [
    () => undefined,
    () => null,
    () => new Response('no', { status: 404 }),
    () => new Response(null, { status: 410 }),
  ]) {
    const got = await given((file) => files[file] ?? nothing());
    assert.deepEqual(got.sha256, digests(files));
    await refuses(given(but('config.json', nothing)), 'io', /given files, config\.json: it is missing/);
  }
});

test('what cannot be read is an error that names the file', async () => {
  const broken = () => new ReadableStream({ pull: (controller) => controller.error(new Error('the wire is cut')) });
  const words = () => new ReadableStream({ start: (controller) => (controller.enqueue('words'), controller.close()) });
  const used = new Response('used');
  await used.text();
  const wrong = [
    [() => Promise.reject(new Error('no binding')), /model\.safetensors: it cannot be read: no binding/],
    [broken, /model\.safetensors: it cannot be read: the wire is cut/],
    [words, /its stream has chunks that are no bytes/],
    [() => used, /model\.safetensors: it cannot be read/],
    [() => new Response('no', { status: 500 }), /model\.safetensors: its response has status 500/],
    [() => 'text', /neither bytes, nor a Blob, a stream or a Response/],
    [() => ({}), /neither bytes, nor a Blob, a stream or a Response/],
  ];
  for (const [give, message] of wrong) await refuses(given(but('model.safetensors', give)), 'io', message);
});

test('what is shorter or longer than it says, and wrong digests', async () => {
  const bytes = files['model.safetensors'];
  const claims = (length) => new Response(stream(bytes), { headers: { 'content-length': String(length) } });
  await refuses(
    given(but('model.safetensors', () => claims(bytes.length + 1))),
    'checkpoint',
    /it ends after 3145728 of 3145729 bytes/,
  );
  await refuses(
    given(but('model.safetensors', () => claims(bytes.length - 1))),
    'checkpoint',
    /more than the 3145727 bytes/,
  );
  await refuses(
    given(but('model.safetensors', () => claims(2 ** 33))),
    'memory',
    /model\.safetensors needs 8589934592 bytes/,
  );
  const packed = () => new Response(stream(bytes), { headers: { 'content-length': '5', 'content-encoding': 'gzip' } });
  assert.deepEqual((await given(but('model.safetensors', packed))).sha256, digests(files));
  const integrity = { 'model.safetensors': '0'.repeat(64) };
  await refuses(
    given((file) => files[file], { integrity }),
    'checkpoint',
    /its SHA-256 is/,
  );
});

test('an aborted load does not wait for a stream that stands still, and lets go of it', async () => {
  let cancelled = 0;
  const still = () => new ReadableStream({ cancel: () => void (cancelled += 1) });
  const stop = new AbortController();
  const loading = given(but('model.safetensors', still), { signal: stop.signal });
  setTimeout(() => stop.abort(), 50);
  await assert.rejects(loading, { name: 'AbortError' });
  assert.equal(cancelled, 1);
});

const own = (file) => {
  try {
    return readFileSync(join(WEB, 'dist/model', file));
  } catch {
    return undefined;
  }
};

test('a pipeline of given files on an imported module', async () => {
  const module = new WebAssembly.Module(readFileSync(join(WEB, 'dist/wasm/cloze_bg.wasm')));
  const answer = await pipeline('question-answering', own, { module });
  const [best] = await answer('Who wrote the first program?', 'Ada Lovelace wrote the first program in 1843.');
  assert.equal(best.answer, 'Ada Lovelace');
  assert.deepEqual([answer.model.name, answer.model.cached, answer.worker], ['given files', false, false]);
  await answer.dispose();
});

test('what cannot be taken is refused at once', async () => {
  await refuses(pipeline('question-answering', { module: {} }), 'option', /module: it is no WebAssembly\.Module/);
  for (const worker of [true, () => undefined]) {
    await refuses(
      pipeline('question-answering', { model: own, worker }),
      'option',
      /worker: a function that gives files/,
    );
  }
});
