/** The package's own files. Bundlers know `new URL('…', import.meta.url)` and carry the files along. */

import { builtin, NO_FILES } from './load/node.js';
import { wrong } from './options.js';

/** Bundles for servers at the edge have no address, and no file beside them. */
export function addressOf(url: () => URL, option: string, help: string): string {
  try {
    return url().href;
  } catch {
    throw wrong(option, "the address of the package's own file is unknown here", `Give ${help}`);
  }
}

/**
 * What the WebAssembly module is made of: a response where it can be compiled as it comes, else its bytes. Over HTTP it
 * must have the digest `integrity`: the JavaScript around it fits no other build. A copy of another build, kept by a
 * cache on the way, is passed by.
 */
export async function wasmSource(url: string, integrity: string): Promise<Response | BufferSource> {
  if (!url.startsWith('file:'))
    return fetch(url, { integrity }).catch(() => fetch(url, { integrity, cache: 'reload' }));
  const fs = builtin<{ readFile(url: URL): Promise<Uint8Array<ArrayBuffer>> }>('node:fs/promises');
  if (!fs) throw new Error(`${NO_FILES} file: addresses`);
  return fs.readFile(new URL(url));
}
