// The demo page: from this folder to dist/, which can be put on any file host, below any path.

import { createHash } from 'node:crypto';
import { cpSync, existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';
import { fillWorker, WORKER } from './kept-files.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const root = join(here, '../..');
const dist = join(here, 'dist');

/** The sentence encoder, where `pkg-scripts/setup --models` has put it. */
const ENCODER = 'models/all-minilm-l6-v2';
const ENCODER_FILES = [
  'config.json',
  'model.safetensors',
  'vocab.txt',
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'modules.json',
  'sentence_bert_config.json',
  '1_Pooling/config.json',
  'README.md',
];

const hash = (bytes) => createHash('sha256').update(bytes).digest('hex').slice(0, 16);
const sum = (files) => files.reduce((bytes, file) => bytes + statSync(file).size, 0);

function encoder() {
  const files = ENCODER_FILES.map((file) => join(root, ENCODER, file)).filter((file) => existsSync(file));
  if (!files.some((file) => file.endsWith('model.safetensors'))) return null;
  // A name for its contents: the package takes the copy in its cache for as good as the one on the host.
  const revision = hash(files.map((file) => hash(readFileSync(file))).join());
  return { path: `./${ENCODER}/`, bytes: sum(files.filter((file) => !file.endsWith('README.md'))), revision };
}

/** What the page downloads for the first answer: sizes are said before anything is fetched. */
function modelBytes() {
  const package_ = join(here, '../dist');
  return sum(['model/model.safetensors', 'model/vocab.txt'].map((file) => join(package_, file)));
}

/** Copies the encoder, and tells the service worker what to keep. */
function offline(found) {
  return {
    name: 'offline',
    apply: 'build',
    closeBundle() {
      if (found) {
        for (const file of ENCODER_FILES) {
          const from = join(root, ENCODER, file);
          if (existsSync(from)) cpSync(from, join(dist, ENCODER, file));
        }
      }
      fillWorker(dist);
    },
  };
}

const found = encoder();

export default defineConfig({
  root: here,
  base: './',
  // A file that is not there is not answered with the page.
  appType: 'mpa',
  preview: { port: 5173 },
  logLevel: 'warn',
  define: {
    MODEL_BYTES: JSON.stringify(modelBytes()),
    ENCODER: JSON.stringify(found),
  },
  build: {
    outDir: dist,
    emptyOutDir: true,
    target: 'es2022',
    // Browsers that know light-dark().
    cssTarget: ['chrome123', 'firefox120', 'safari17.5'],
    rolldownOptions: {
      input: { index: join(here, 'index.html'), 'service-worker': join(here, 'src/service-worker.ts') },
      output: { entryFileNames: ({ name }) => (name === 'service-worker' ? WORKER : 'assets/[name]-[hash].js') },
    },
  },
  worker: { format: 'es' },
  plugins: [offline(found)],
});
