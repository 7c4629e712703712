/** Where the package's own files are. Bundlers know these expressions and carry the files along. */

export interface Assets {
  wasm: string;
  weights: string;
  vocab: string;
}

export function packageAssets(): Assets {
  return {
    wasm: new URL('./wasm/cloze_bg.wasm', import.meta.url).href,
    weights: new URL('./model/model.safetensors', import.meta.url).href,
    vocab: new URL('./model/vocab.txt', import.meta.url).href,
  };
}

/** What the WebAssembly module is made of: a response where it can be compiled as it comes, else its bytes. */
export async function wasmSource(url: string): Promise<Response | BufferSource> {
  if (!url.startsWith('file:')) return fetch(url);
  // Node. A name that bundlers for the web do not follow.
  const fs = 'node:fs/promises';
  const { readFile } = (await import(/* @vite-ignore */ /* webpackIgnore: true */ fs)) as {
    readFile(url: URL): Promise<Uint8Array<ArrayBuffer>>;
  };
  return readFile(new URL(url));
}
