/** What callers give, checked as far as Rust could not say it better. */

import { ClozeError } from './errors.js';
import { fieldsOf } from './fields.js';

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
  const { text: first, pair } = fieldsOf(value, ['text', 'pair']);
  return { text: text(first, 'text'), ...(pair !== undefined && { pair: text(pair, 'pair') }) };
}

/** A text alone, or in an object. */
export function textOf(value: unknown): string {
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
  return isObject ? text(fieldsOf(value, ['text']).text, 'text') : text(value, 'the text');
}

export function questionOf(value: unknown): { question: string; context: string } {
  const { question, context } = fieldsOf(Object(value), ['question', 'context']);
  return { question: text(question, 'question'), context: text(context, 'context') };
}

/**
 * UTF-16 units of a text, and of all texts of a call. WebAssembly holds a request several times over while it is read, and
 * the tokens of one text at a time, in 4 GiB at most; what has no room there would end the module.
 */
const MOST = { text: 2 ** 25, call: 2 ** 27 };

/** A request as JSON that Rust can read. @throws `memory` for more text than a call may have, before it is copied. */
export function json(request: unknown): string {
  let units = 0;
  return JSON.stringify(request, (_, value: unknown) => {
    if (typeof value !== 'string') return value;
    units += value.length;
    const [what, most] = value.length > MOST.text ? ['A text', MOST.text] : ['The call', MOST.call];
    if (value.length <= most && units <= MOST.call) return wellFormed(value);
    throw new ClozeError('memory', `${what} has more than ${most} characters. Give fewer texts or shorter ones`);
  });
}
