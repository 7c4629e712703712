// `strip.mjs DIST`: takes comments, layout and the names of local variables out of the JavaScript in DIST, a third of what
// a page loads of it. Modules, functions and methods keep theirs, so that stack traces still say something. The types keep
// their documentation.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const web = createRequire(new URL('../web/package.json', import.meta.url));
const vite = createRequire(web.resolve('vite'));
const { minifySync } = await import(pathToFileURL(vite.resolve('rolldown/utils')).href);

const dist = process.argv[2];
if (!dist) {
  console.error('usage: strip.mjs DIST');
  process.exit(1);
}

/** The language is that of tsconfig.json. */
const SHORT = {
  module: true,
  compress: { target: 'es2022', keepNames: { function: true, class: true } },
  mangle: { toplevel: false },
};

for (const name of readdirSync(dist, { recursive: true })) {
  if (!String(name).endsWith('.js')) continue;
  const path = join(dist, String(name));
  const text = readFileSync(path, 'utf8');
  const { code, errors } = minifySync(String(name), text, SHORT);
  if (errors.length > 0) {
    console.error(`strip: ${path}: ${errors[0].message}`);
    process.exit(1);
  }
  writeFileSync(path, code);
}
