// The public types, held against a committed copy: a change of the API is seen, and made on purpose.
//
//   UPDATE_API=1 node --test web/tests/api.test.mjs     writes the copy anew

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { WEB } from './support/server.mjs';

const SNAPSHOT = join(WEB, 'tests', 'api.snapshot');

/** The declarations that a user's compiler reads from the entry points on, without comments. */
function declarations() {
  const dist = join(WEB, 'dist');
  const queue = ['index.d.ts', 'worker.d.ts', 'train/index.d.ts', 'train/worker.d.ts'].map((name) => join(dist, name));
  const texts = new Map();
  for (const path of queue) {
    if (texts.has(path)) continue;
    const text = readFileSync(path, 'utf8');
    for (const [, from] of text.matchAll(/(?:from|import\()\s*'(\.[^']*)\.js'/g)) {
      queue.push(join(dirname(path), `${from}.d.ts`));
    }
    texts.set(path, text.replace(/^\s*\/\*\*[^]*?\*\/\n/gm, '').replace(/^\s*\/\/.*\n/gm, ''));
  }
  return [...texts].map(([path, text]) => `// ${relative(dist, path)}\n${text.trim()}\n`).join('\n');
}

test('the public types are those of tests/api.snapshot', () => {
  const now = declarations();
  if (process.env.UPDATE_API) writeFileSync(SNAPSHOT, now);
  const then = existsSync(SNAPSHOT) ? readFileSync(SNAPSHOT, 'utf8') : '';
  assert.equal(now, then, 'the API changed: if it should, run UPDATE_API=1 node --test web/tests/api.test.mjs');
});
