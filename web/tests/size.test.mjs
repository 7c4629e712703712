// What a page has to load before the weights.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { join } from 'node:path';
import { codeSize, sizes, table } from '../../pkg-scripts/sizes.mjs';
import { WEB } from './support/server.mjs';

const MOST_GZIPPED = 450_000;

test('all JavaScript and WebAssembly is at most 450 KB gzipped', (t) => {
  const dist = join(WEB, 'dist');
  t.diagnostic(`\n${table(dist)}`);
  const { gzip } = codeSize(dist);
  assert.ok(gzip > 0 && gzip <= MOST_GZIPPED, `${gzip} bytes gzipped, at most ${MOST_GZIPPED} are allowed`);
  assert.equal(sizes(dist).filter((file) => file.name.endsWith('.wasm')).length, 1, 'one copy of the wasm');
});
