// Sinks in JavaScript, for tests of the loader in a page or in Node: the package's own are in WebAssembly.

const K = new Uint32Array(64);
const FIRST = new Uint32Array(8);
{
  // The first 32 bits of the fractional parts of the cube and square roots of the first primes.
  const bits = (root) => Math.floor((root - Math.floor(root)) * 2 ** 32);
  for (let n = 2, i = 0; i < 64; n++) {
    let prime = true;
    for (let d = 2; d * d <= n; d++) prime &&= n % d !== 0;
    if (!prime) continue;
    if (i < 8) FIRST[i] = bits(Math.sqrt(n));
    K[i++] = bits(Math.cbrt(n));
  }
}

/** SHA-256 as FIPS 180-4 has it, in hex; `crypto.subtle` has none that answers at once. */
export function sha256(bytes) {
  const padded = new Uint8Array((((bytes.length + 8) >> 6) + 1) << 6);
  padded.set(bytes);
  padded[bytes.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setUint32(padded.length - 8, Math.floor(bytes.length / 2 ** 29));
  view.setUint32(padded.length - 4, bytes.length << 3);
  const h = FIRST.slice();
  const w = new Int32Array(64);
  const turn = (x, n) => (x >>> n) | (x << (32 - n));
  for (let block = 0; block < padded.length; block += 64) {
    for (let t = 0; t < 16; t++) w[t] = view.getInt32(block + 4 * t);
    for (let t = 16; t < 64; t++) {
      const [a, b] = [w[t - 15], w[t - 2]];
      w[t] = w[t - 16] + (turn(a, 7) ^ turn(a, 18) ^ (a >>> 3)) + w[t - 7] + (turn(b, 17) ^ turn(b, 19) ^ (b >>> 10));
    }
    let a = h[0] | 0,
      b = h[1] | 0,
      c = h[2] | 0,
      d = h[3] | 0,
      e = h[4] | 0,
      f = h[5] | 0,
      g = h[6] | 0,
      last = h[7] | 0;
    for (let t = 0; t < 64; t++) {
      const t1 = (last + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + K[t] + w[t]) | 0;
      const t2 = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      ((last = g), (g = f), (f = e), (e = (d + t1) | 0), (d = c), (c = b), (b = a), (a = (t1 + t2) | 0));
    }
    [a, b, c, d, e, f, g, last].forEach((x, i) => (h[i] += x));
  }
  return Array.from(h, (x) => x.toString(16).padStart(8, '0')).join('');
}

/** Sinks that keep their bytes, and write down how they were used. */
export function memory() {
  const files = {};
  const open = (file) => {
    if (file in files) throw new Error(`${file} was opened twice`);
    const state = (files[file] = { begun: [], pieces: [], length: 0 });
    const bytes = () => {
      const whole = new Uint8Array(state.length);
      let at = 0;
      for (const piece of state.pieces) (whole.set(piece, at), (at += piece.length));
      return whole;
    };
    state.digest = () => (state.hex ??= sha256(bytes()));
    return {
      begin(size) {
        state.begun.push(size ?? null);
        Object.assign(state, { pieces: [], length: 0, hex: undefined });
      },
      write(chunk) {
        if (state.begun.length === 0) throw new Error('write before begin');
        state.pieces.push(chunk.slice());
        state.length += chunk.length;
        state.hex = undefined;
      },
      digest: state.digest,
    };
  };
  return { files, open };
}

/** Loads a model and says what came of it, as plain data. */
export async function load(model, options = {}, module = '/dist/load/index.js') {
  const { loadModel } = await import(module);
  const { files, open } = memory();
  const progress = [];
  const loaded = await loadModel(model, { onProgress: (p) => progress.push(p), ...options }, open);
  const said = (what) => Object.fromEntries(loaded.files.map((file) => [file, what(files[file])]));
  return { ...loaded, progress, sha256: said((f) => f.digest()), begun: said((f) => f.begun) };
}

/** Loads a model and aborts as soon as `bytes` of its weights are there. */
export async function abortAt(bytes, model, options = {}) {
  const controller = new AbortController();
  let at;
  const onProgress = (p) => {
    if (!p.file.endsWith('.safetensors') || !(p.loaded >= bytes) || at !== undefined) return;
    at = performance.now();
    controller.abort();
  };
  const failed = await load(model, { ...options, onProgress, signal: controller.signal }).catch((error) => error);
  return { name: failed.name, isDom: failed instanceof DOMException, ms: performance.now() - at };
}
