/** What pipelines take of the package: the module that infers, and the default model. Who only trains loads neither. */

import { addressOf } from './assets.js';
import type { Manifest } from './load/index.js';
import { files, revision } from './manifest.js';

/** The address of the WebAssembly module. */
export function moduleAddress(): string {
  return addressOf(
    () => new URL('./wasm/cloze_bg.wasm', import.meta.url),
    'module',
    'what importing cloze/cloze.wasm gives',
  );
}

/** The address of the module with Unigram tokenizers. */
export function unigramAddress(): string {
  const help = 'what importing cloze/unigram.wasm gives';
  return addressOf(() => new URL('./unigram/wasm/cloze_bg.wasm', import.meta.url), 'module', help);
}

/** The default model, as it can be sent to a worker. */
export function defaultModel(): Manifest {
  const sent: Manifest['files'] = {};
  for (const [name, { url, ...known }] of Object.entries(files)) {
    sent[name] = { ...known, ...(url && { url: addressOf(url, 'model', 'a function that gives the files') }) };
  }
  return { name: 'minilm-l6-qa', revision, files: sent };
}
