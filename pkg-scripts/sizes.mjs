// `sizes.mjs DIST`: what the package weighs, part by part. `sizes()` gives the same to the tests.

import { readdirSync, readFileSync } from 'node:fs';
import { join, sep } from 'node:path';
import { pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';

/** The files below `dist`, with their bytes raw and gzipped at level 9; `code` is what a page runs. */
export function sizes(dist) {
  return readdirSync(dist, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => {
      const path = join(entry.parentPath ?? entry.path, entry.name);
      const bytes = readFileSync(path);
      const code = /\.(js|wasm)$/.test(path);
      const name = path.slice(join(dist, sep).length).split(sep).join('/');
      // The weights do not shrink: they are not worth a second.
      return {
        name,
        code,
        raw: bytes.length,
        gzip: bytes.length > 1e7 ? bytes.length : gzipSync(bytes, { level: 9 }).length,
      };
    })
    .sort((a, b) => b.raw - a.raw);
}

/**
 * Raw and gzipped bytes of the code that a page runs: with a WordPiece model, with a Unigram one if `unigram`, which has a module
 * in the place of the other, or what only training needs if `training`.
 */
export function codeSize(dist, { training = false, unigram = false } = {}) {
  const isLoaded = ({ code, name }) =>
    code && name.startsWith('train/') === training && !name.startsWith(unigram ? 'wasm/' : 'unigram/wasm/');
  const code = sizes(dist).filter(isLoaded);
  const sum = (field) => code.reduce((total, file) => total + file[field], 0);
  return { raw: sum('raw'), gzip: sum('gzip') };
}

/** Lines for people: a part each, then the sum of the code. */
export function table(dist) {
  const row = (name, raw, gzip) => `${name.padEnd(28)}${String(raw).padStart(12)}${String(gzip).padStart(12)}`;
  const files = sizes(dist).filter((file) => !file.name.endsWith('.d.ts'));
  const sum = (name, { raw, gzip }) => row(name, raw, gzip);
  return [
    row('bytes', 'raw', 'gzip'),
    ...files.map((file) => row(file.name, file.raw, file.gzip)),
    sum('JavaScript and wasm', codeSize(dist)),
    sum('with Unigram tokenizers', codeSize(dist, { unigram: true })),
    sum('more of both to train', codeSize(dist, { training: true })),
  ].join('\n');
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) console.log(table(process.argv[2] ?? 'web/dist'));
