// `manifest.mjs MODEL DIST`: copies the default model into DIST/model and writes DIST/manifest.js with its types.
//
// The manifest is a module, not a file that is fetched: it is there before any loading starts, and a bundler takes each
// file by its `new URL('…', import.meta.url)`. Small JSON files are in it as text, since bundlers turn assets of a few
// kilobytes into `data:` URLs, which a strict content policy refuses to fetch.
//
// Beside each WebAssembly module, in DIST/wasm, DIST/unigram/wasm and DIST/train/wasm, it writes integrity.js with the module's digest.

import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const FETCHED = ['model.safetensors', 'vocab.txt'];
const INLINE = ['config.json', 'tokenizer_config.json'];
/** For people: the card with the sources and licences. */
const PAPERS = ['README.md'];

const [source, dist] = process.argv.slice(2);
if (!source || !dist) {
  console.error('usage: manifest.mjs MODEL DIST');
  process.exit(1);
}

const model = join(dist, 'model');
mkdirSync(model, { recursive: true });
const shipped = [...FETCHED, ...INLINE, ...PAPERS];
for (const name of readdirSync(model)) if (!shipped.includes(name)) rmSync(join(model, name), { recursive: true });

const whole = createHash('sha256');
const contents = new Map();
for (const name of shipped) {
  const path = join(source, name);
  if (!existsSync(path)) {
    console.error(`manifest: ${path} is missing: is this a whole checkout?`);
    process.exit(1);
  }
  const bytes = readFileSync(path);
  contents.set(name, bytes);
  const copy = join(model, name);
  if (!existsSync(copy) || !readFileSync(copy).equals(bytes)) copyFileSync(path, copy);
}

const entries = [...FETCHED, ...INLINE].map((name) => {
  const bytes = contents.get(name);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  whole.update(`${name} ${sha256}\n`);
  const fields = [`size: ${bytes.length}`, `sha256: '${sha256}'`];
  if (INLINE.includes(name)) fields.push(`text: ${JSON.stringify(bytes.toString('utf8'))}`);
  else fields.push(`url: () => new URL('./model/${name}', import.meta.url)`);
  return `  '${name}': {\n${fields.map((field) => `    ${field},\n`).join('')}  },\n`;
});

const revision = whole.digest('hex').slice(0, 16);
writeFileSync(
  join(dist, 'manifest.js'),
  `// Written by the build.\n\nexport const revision = '${revision}';\n\nexport const files = {\n${entries.join('')}};\n`,
);
writeFileSync(
  join(dist, 'manifest.d.ts'),
  `/** A file of the default model. */
export interface ManifestFile {
  /** In bytes. */
  readonly size: number;
  /** Of its bytes, in lower-case hexadecimal digits. */
  readonly sha256: string;
  /** Its text, of a small file: it need not be fetched. */
  readonly text?: string;
  /** Where it lies, of a large one. */
  readonly url?: () => URL;
}

/** Changes with any file. */
export declare const revision: string;

/** By name. */
export declare const files: { readonly [name: string]: ManifestFile };
`,
);

for (const dir of ['wasm', 'unigram/wasm', 'train/wasm']) {
  const module = createHash('sha256')
    .update(readFileSync(join(dist, dir, 'cloze_bg.wasm')))
    .digest('base64');
  writeFileSync(
    join(dist, dir, 'integrity.js'),
    `// Written by the build.\n\nexport const integrity = 'sha256-${module}';\n`,
  );
  writeFileSync(
    join(dist, dir, 'integrity.d.ts'),
    '/** The SHA-256 of cloze_bg.wasm, as in HTML. */\nexport declare const integrity: string;\n',
  );
}
