/** What callers give, checked as far as Rust could not say it better. */

import { ClozeError } from './errors.js';
import type { TextInput } from './types.js';

/** Inputs as an array, and whether the caller gave one alone. */
export interface Inputs<I> {
  list: I[];
  single: boolean;
}

/** A text that Rust can read: halves of surrogate pairs, which are no characters, become U+FFFD, as long as they. */
function wellFormed(text: string): string {
  const modern = text as { toWellFormed?(): string };
  return modern.toWellFormed?.() ?? text.replace(/\p{Surrogate}/gu, '\ufffd');
}

export function text(value: unknown, what: string): string {
  if (typeof value === 'string') return value;
  throw new ClozeError('input', `${what} is ${value === null ? 'null' : typeof value}, not a string. Give a string`);
}

export function list<I>(value: unknown, one: (value: unknown) => I): Inputs<I> {
  if (!Array.isArray(value)) return { list: [one(value)], single: true };
  const at = (value: unknown, index: number): I => {
    try {
      return one(value);
    } catch (error) {
      throw error instanceof ClozeError ? Object.assign(error, { index }) : error;
    }
  };
  // `from` sees the holes of an array too.
  return { list: Array.from(value, at), single: false };
}

export function pairOf(value: unknown): { text: string; pair?: string } {
  if (typeof value !== 'object' || value === null) return { text: text(value, 'the text') };
  const { text: first, pair, text_pair: second } = value as TextInput & { text_pair?: string };
  const other = pair ?? second;
  return { text: text(first, 'text'), ...(other !== undefined && other !== null && { pair: text(other, 'pair') }) };
}

/** A request as JSON that Rust can read. @throws `memory` for more text than a string holds. */
export function json(request: unknown): string {
  try {
    return JSON.stringify(request, (_, value: unknown) => (typeof value === 'string' ? wellFormed(value) : value));
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new ClozeError('memory', 'The texts are too long for one call. Give fewer or shorter ones', { cause });
  }
}
