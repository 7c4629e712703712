// Models of tests/fixtures that have no tokenizer, and what PyTorch's training made of them.

import { readFileSync } from 'node:fs';
import { FIXTURES } from './expected.mjs';

const BYTES = { F32: Float32Array, I32: Int32Array };

/** A safetensors file's tensors by name, each as a typed array with its shape. */
export function tensors(path) {
  const bytes = readFileSync(`${FIXTURES}/${path}`);
  const first = 8 + Number(bytes.readBigUInt64LE());
  const { __metadata__, ...header } = JSON.parse(bytes.toString('utf8', 8, first));
  const read = ({ dtype, shape, data_offsets: [start, end] }) => {
    const { buffer } = Uint8Array.from(bytes.subarray(first + start, first + end));
    return { values: new BYTES[dtype](buffer), shape };
  };
  return Object.fromEntries(Object.entries(header).map(([name, one]) => [name, read(one)]));
}

/** Words enough for a vocabulary of so many. */
export function vocabulary(size) {
  const known = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'a', 'the', 'good', 'bad', 'so', 'film'];
  return [...known, ...Array.from({ length: size - known.length }, (_, i) => `w${i}`)].join('\n');
}

/** The sequences of a model's batch: ids and types. */
export function sequences(model) {
  const { ids, types, offsets } = tensors(`${model}/expected.safetensors`);
  const cut = (of, i) => [...of.values.slice(offsets.values[i], offsets.values[i + 1])];
  return Array.from({ length: offsets.values.length - 1 }, (_, i) => ({ ids: cut(ids, i), types: cut(types, i) }));
}

/** The losses of PyTorch's ten steps on that batch, and its labels, whose numbers are bits. */
export function trained(name) {
  const { losses, labels } = tensors(`gradients/${name}.safetensors`);
  return { losses: [...losses.values], labels: [...new Uint32Array(labels.values.buffer)] };
}
