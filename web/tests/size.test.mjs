// What a page has to load before the weights.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { join } from 'node:path';
import { codeSize, sizes, table } from '../../pkg-scripts/sizes.mjs';
import { WEB } from './support/server.mjs';

const MOST_GZIPPED = 460_000;
const MOST_WITH_UNIGRAM = 500_000;
/** Beside that. */
const MOST_TO_TRAIN = 525_000;

const dist = join(WEB, 'dist');

test('all JavaScript and WebAssembly is at most 460 KB gzipped', (t) => {
  t.diagnostic(`\n${table(dist)}`);
  const { gzip } = codeSize(dist);
  assert.ok(gzip > 0 && gzip <= MOST_GZIPPED, `${gzip} bytes gzipped, at most ${MOST_GZIPPED} are allowed`);
  const modules = sizes(dist)
    .map(({ name }) => name)
    .filter((name) => name.endsWith('.wasm'));
  assert.deepEqual(
    modules.sort(),
    ['train/wasm/cloze_bg.wasm', 'unigram/wasm/cloze_bg.wasm', 'wasm/cloze_bg.wasm'],
    'one copy of each module',
  );
});

test('with a Unigram tokenizer it is at most 500 KB gzipped', () => {
  const { gzip } = codeSize(dist, { unigram: true });
  assert.ok(gzip > 0 && gzip <= MOST_WITH_UNIGRAM, `${gzip} bytes gzipped, at most ${MOST_WITH_UNIGRAM} are allowed`);
});

test('what training adds to that is at most 525 KB gzipped', () => {
  const { gzip } = codeSize(dist, { training: true });
  assert.ok(gzip > 0 && gzip <= MOST_TO_TRAIN, `${gzip} bytes gzipped, at most ${MOST_TO_TRAIN} are allowed`);
});
