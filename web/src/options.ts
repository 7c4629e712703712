/**
 * Options: their names, those of transformers.js and its Python ancestor among them, and their kinds.
 *
 * What is not known is refused: an option that is silently ignored looks like one that works.
 */

import { clip, ClozeError } from './errors.js';

export type Kind = 'number' | 'real' | 'boolean' | 'string' | 'strings' | 'record' | 'any';

/** An option by its name here, and what else it may be called. */
export type Table = Record<string, { kind: Kind; also?: readonly string[] }>;

/** The options under their names here. Those that are undefined or null are left out. */
export function normalise(options: unknown, table: Table, what: string): Record<string, unknown> {
  const found: Record<string, unknown> = {};
  if (options === undefined || options === null) return found;
  if (typeof options !== 'object') throw wrong('options', `${what} takes an object of options`, 'Give one');
  for (const [given, value] of Object.entries(options)) {
    if (value === undefined || value === null) continue;
    const name = Object.keys(table).find((known) => known === given || table[known]?.also?.includes(given));
    const entry = name === undefined ? undefined : table[name];
    if (name === undefined || !entry) {
      throw wrong(given, `${what} has no such option`, `Known are ${Object.keys(table).join(', ')}`);
    }
    if (name in found) throw wrong(given, `it is given twice, once as ${name}`, 'Give it once');
    check(given, value, entry.kind);
    if (entry.kind === 'strings') found[name] = [value].flat();
    // A copy: what is reactive or otherwise clever cannot be sent to a worker.
    else found[name] = entry.kind === 'record' ? { ...(value as object) } : value;
  }
  return found;
}

function check(name: string, value: unknown, kind: Kind): void {
  const isString = (v: unknown): boolean => typeof v === 'string';
  switch (kind) {
    case 'number':
      if (!Number.isSafeInteger(value) || (value as number) < 0 || (value as number) >= 2 ** 31) {
        throw wrong(name, 'it is not a whole number from 0 to 2147483647', 'Give one');
      }
      break;
    case 'real':
      if (!Number.isFinite(value) || (value as number) < 0) throw wrong(name, 'it is not a number from 0', 'Give one');
      break;
    case 'boolean':
    case 'string':
      if (typeof value !== kind) throw wrong(name, `it is not a ${kind}`, 'Give one');
      break;
    case 'strings':
      if (!isString(value) && !(Array.isArray(value) && value.every(isString))) {
        throw wrong(name, 'it is not an array of strings', 'Give one');
      }
      break;
    case 'record':
      if (typeof value !== 'object' || !Object.values(value as object).every(isString)) {
        throw wrong(name, 'it is not an object of strings', 'Give one');
      }
      break;
    case 'any':
  }
}

/** The signal among options, if it is one. */
export function signalOf(value: unknown): AbortSignal | undefined {
  if (value === undefined || value instanceof AbortSignal) return value;
  throw wrong('signal', 'it is no AbortSignal', 'Give one');
}

export function wrong(name: string, problem: string, help: string): ClozeError {
  return new ClozeError('option', `${clip(name)}: ${problem}. ${help}`);
}
