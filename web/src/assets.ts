/** The package's own files. Bundlers know `new URL('…', import.meta.url)` and carry the files along. */

import type { Manifest } from './load/index.js';
import { files, revision } from './manifest.js';
import { wrong } from './options.js';

/** The address of the WebAssembly module. */
export function moduleAddress(): string {
  return addressOf(() => new URL('./wasm/cloze_bg.wasm', import.meta.url), 'module', 'what importing cloze/cloze.wasm gives');
}

/** Bundles for servers at the edge have no address, and no file beside them. */
export function addressOf(url: () => URL, option: string, mend: string): string {
  try {
    return url().href;
  } catch {
    throw wrong(option, "there is no address here that the package's own file could have", `Give ${mend}`);
  }
}

/** The default model, as it can be sent to a worker. */
export function defaultModel(): Manifest {
  const sent: Manifest['files'] = {};
  for (const [name, { url, ...known }] of Object.entries(files)) {
    sent[name] = { ...known, ...(url && { url: addressOf(url, 'model', 'a function that gives the files') }) };
  }
  return { name: 'minilm-l6-qa', revision, files: sent };
}

/** What the WebAssembly module is made of: a response where it can be compiled as it comes, else its bytes. */
export async function wasmSource(url: string): Promise<Response | BufferSource> {
  if (!url.startsWith('file:')) return fetch(url);
  // Not imported: bundlers for browsers would follow the name, or warn of it.
  const builtins = (globalThis as { process?: { getBuiltinModule?(name: string): unknown } }).process;
  const fs = builtins?.getBuiltinModule?.('node:fs/promises') as
    { readFile(url: URL): Promise<Uint8Array<ArrayBuffer>> } | undefined;
  if (!fs) throw new Error('only Node reads file: addresses');
  return fs.readFile(new URL(url));
}
