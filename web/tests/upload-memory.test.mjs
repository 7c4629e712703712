// What WebAssembly's memory grows to while a model is loaded: in Node, where nothing but the package is at work.

import assert from 'node:assert/strict';
import { test } from 'node:test';

/** The memories of all modules that are started from now on. */
const memories = [];
for (const name of ['instantiate', 'instantiateStreaming']) {
  const original = WebAssembly[name];
  WebAssembly[name] = async (...args) => {
    const result = await original(...args);
    memories.push((result.instance ?? result).exports.memory);
    return result;
  };
}
const megabytes = () => memories.reduce((sum, memory) => sum + memory.buffer.byteLength, 0) / 1e6;

const H = 256;
const CONFIG = {
  model_type: 'bert',
  vocab_size: 24000,
  hidden_size: H,
  num_hidden_layers: 12,
  num_attention_heads: 4,
  intermediate_size: 4 * H,
  max_position_embeddings: 64,
};

/** The shapes of an encoder's tensors, by name in the order of a file. */
function shapes() {
  const all = {
    'embeddings.LayerNorm.bias': [H],
    'embeddings.LayerNorm.weight': [H],
    'embeddings.position_embeddings.weight': [CONFIG.max_position_embeddings, H],
    'embeddings.token_type_embeddings.weight': [2, H],
    'embeddings.word_embeddings.weight': [CONFIG.vocab_size, H],
    'pooler.dense.weight': [H, H],
    'pooler.dense.bias': [H],
  };
  for (let i = 0; i < CONFIG.num_hidden_layers; i++) {
    const layer = `encoder.layer.${i}`;
    const linear = (name, rows, cols) => {
      all[`${layer}.${name}.weight`] = [rows, cols];
      all[`${layer}.${name}.bias`] = [rows];
    };
    for (const name of ['query', 'key', 'value']) linear(`attention.self.${name}`, H, H);
    linear('attention.output.dense', H, H);
    linear('intermediate.dense', 4 * H, H);
    linear('output.dense', H, 4 * H);
    for (const norm of ['attention.output', 'output'])
      for (const name of ['weight', 'bias']) all[`${layer}.${norm}.LayerNorm.${name}`] = [H];
  }
  return Object.entries(all).sort(([a], [b]) => (a < b ? -1 : 1));
}

/** An encoder of small random weights in f16, as safetensors. */
function weights() {
  const header = {};
  let end = 0;
  for (const [name, shape] of shapes()) {
    const start = end;
    end += 2 * shape.reduce((product, n) => product * n);
    header[name] = { dtype: 'F16', shape, data_offsets: [start, end] };
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  const file = new Uint8Array(8 + text.length + end);
  new DataView(file.buffer).setBigUint64(0, BigInt(text.length), true);
  file.set(text, 8);
  const values = new DataView(file.buffer, 8 + text.length);
  // Between 2^-7 and 2^-3, of both signs.
  let seed = 1;
  for (let at = 0; at < end; at += 2) {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    values.setUint16(at, 0x2000 | (seed >>> 20) | (seed & 0x8000), true);
  }
  return file;
}

test('the weights are never held twice while they are uploaded', async (t) => {
  const vocab = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'a', 'b'].join('\n');
  const text = (content) => new TextEncoder().encode(content);
  const files = {
    'config.json': text(JSON.stringify(CONFIG)),
    'vocab.txt': text(vocab),
    'model.safetensors': weights(),
  };
  const { pipeline } = await import('../dist/index.js');
  const options = { model: (path) => files[path], device: 'wasm', worker: false };
  const embed = await pipeline('feature-extraction', options);
  const vector = await embed('a b');
  assert.ok(vector.length === H && vector.every(Number.isFinite));
  const file = files['model.safetensors'].length / 1e6;
  t.diagnostic(`a file of ${file.toFixed(1)} MB, ${megabytes().toFixed(1)} MB of WebAssembly`);
  // The layers are 19 of the file's 32 MB. The module itself and the activations take a few.
  assert.ok(megabytes() < file + 8, `${megabytes()} MB for a file of ${file} MB`);
  await embed.dispose();
});
