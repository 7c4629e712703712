/** The package's own files. Bundlers know `new URL('…', import.meta.url)` and carry the files along. */

import { wrong } from './options.js';

/** Bundles for servers at the edge have no address, and no file beside them. */
export function addressOf(url: () => URL, option: string, mend: string): string {
  try {
    return url().href;
  } catch {
    throw wrong(option, "there is no address here that the package's own file could have", `Give ${mend}`);
  }
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
