/** What a worker says, looked at before it is believed: its script may be of another version, or somebody else's. */

import { clip, ClozeError } from './errors.js';
import type { Code } from './errors.js';
import type { Progress } from './load/index.js';
import type { State } from './protocol.js';

type Fields = Record<string, unknown>;

const fields = (value: unknown): Fields => (typeof value === 'object' && value !== null ? (value as Fields) : {});
const areTexts = (...values: unknown[]): boolean => values.every((value) => typeof value === 'string');

export function isState(value: unknown): value is State {
  const { device, reason, adapter, model } = fields(value);
  const { name, files, cached } = fields(model);
  return (
    areTexts(device, reason, adapter, name) && typeof cached === 'boolean' && Array.isArray(files) && areTexts(...files)
  );
}

export function isProgress(value: unknown): value is Progress {
  const { status, name } = fields(value);
  return areTexts(status, name);
}

/** The error that a worker tells of, or that a call was aborted; nothing if it is none. */
export function failureOf(value: unknown): Error | 'abort' | undefined {
  const { name, message, code } = fields(value);
  if (typeof name !== 'string' || typeof message !== 'string') return undefined;
  if (name === 'AbortError') return 'abort';
  if (typeof code === 'string') return new ClozeError(code as Code, message);
  return Object.assign(new Error(message), { name: clip(name) });
}
