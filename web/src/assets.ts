/** The package's own files. Bundlers know `new URL('…', import.meta.url)` and carry the files along. */

import type { Manifest } from './load/index.js';
import { files, revision } from './manifest.js';

/** The address of the WebAssembly module. */
export function moduleAddress(): string {
  return new URL('./wasm/cloze_bg.wasm', import.meta.url).href;
}

/** The default model: what is fetched, and what is here already. */
export function defaultModel(): { model: Manifest; texts: Record<string, string> } {
  const fetched: Record<string, { url: string; size: number; sha256: string }> = {};
  const texts: Record<string, string> = {};
  for (const [name, { url, text, size, sha256 }] of Object.entries(files)) {
    if (text !== undefined) texts[name] = text;
    else if (url) fetched[name] = { url: url().href, size, sha256 };
  }
  return { model: { name: 'minilm-l6-qa', revision, files: fetched }, texts };
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
