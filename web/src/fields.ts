/**
 * What the fields of an input are called: here, by transformers, by data sets. The same table as the crate's
 * `src/fields.rs`, which a test of the crate compares.
 */

import { clip, ClozeError } from './errors.js';

export type Role = 'text' | 'pair' | 'question' | 'context' | 'labels' | 'query' | 'texts';

/** Every known name by its role. The first is the one that messages suggest. The public types are made from it. */
export const NAMES = {
  text: ['text', 'sentence', 'sentence1', 'question1', 'premise', '#1 String', 'sequence', 'sequences', 'inputs'],
  pair: ['pair', 'text_pair', 'sentence2', 'question2', 'hypothesis', '#2 String'],
  question: ['question'],
  context: ['context'],
  labels: ['candidate_labels'],
  query: ['query'],
  texts: ['texts', 'documents'],
} as const satisfies Record<Role, readonly string[]>;

/** The names of a role. */
export type NameOf<R extends Role> = (typeof NAMES)[R][number];

/** Ordinary words that differ from a known name in one letter. */
const ORDINARY = ['content', 'contest', 'ext', 'next', 'test', 'air', 'fair', 'hair', 'pain', 'paid'];

/** What is added to a name to tell two of a kind apart, first those of the second. */
const SECONDS = ['b', 'two', 'second', 'right', 'pair'];
const AFFIXES = [...SECONDS, 'a', 'one', 'first', 'left'];

/** Options that some libraries accept in an input. Here they hold for a whole call. */
const OPTIONS = new Set(['prompt', 'prompt_name', 'truncate_dim', 'top_k']);

const ROLES = new Map<string, Role>(
  Object.entries(NAMES).flatMap(([role, names]) => names.map((name) => [name, role as Role])),
);

/** The known names, each with its letters and digits alone. */
const FOLDED = [...ROLES.keys()].map((known) => [fold(known), known] as const);

/** An object's fields by their roles. @throws for names that stand for the same, are not read, or look like a known one. */
export function fieldsOf(
  value: object,
  roles: readonly Role[],
  own: readonly string[] = [],
): Partial<Record<Role, unknown>> {
  const given = Object.entries(value).filter(
    ([name, held]) => held !== undefined && held !== null && !own.includes(name),
  );
  const has = (wanted: string): boolean => given.some(([name]) => name === wanted);
  // A pair that begins with a question goes on with its sentence or context.
  const isAsked = roles.includes('pair') && has('question') && (has('sentence') || has('context'));
  const found: Partial<Record<Role, unknown>> = {};
  const names: Partial<Record<Role, string>> = {};
  for (const [name, held] of given) {
    let role = ROLES.get(name);
    if (isAsked && name === 'question') role = 'text';
    if (isAsked && (name === 'sentence' || name === 'context')) role = 'pair';
    if (!role) {
      if (OPTIONS.has(name)) {
        const help = 'Give it as an option of the call, which holds for all inputs';
        throw wrong(`'${name}' is an option, not a field of an input`, help);
      }
      const like = resembled(name);
      if (like === undefined) continue;
      const help = `Write '${like}' if that is meant, else give the field another name`;
      throw wrong(`'${clip(name)}' is not a known field, but looks like one`, help);
    }
    if (!roles.includes(role)) {
      const help = `The task reads ${roles.join(' and ')}: take out or rename what else there is`;
      throw wrong(`'${name}' is a field that this task does not use`, help);
    }
    if (role in found)
      throw wrong(`'${names[role]}' and '${name}' are two names for the same field`, 'Keep one of them');
    found[role] = held;
    names[role] = name;
  }
  return found;
}

/** The known name that an unknown one looks like. */
function resembled(name: string): string | undefined {
  const folded = fold(name);
  if (name.length > 32 || ORDINARY.includes(folded)) return undefined;
  const same = FOLDED.find(([one]) => one.replace(/s+$/, '') === folded.replace(/s+$/, ''));
  if (same) return same[1];
  // `text_b`, `second_text`, `sentence3`.
  const base = (rest: string): string | undefined =>
    rest.length >= 4 ? FOLDED.find(([one]) => one.replace(/\d+$/, '') === rest)?.[1] : undefined;
  const letters = folded.replace(/\d+$/, '');
  const numbered = base(letters);
  if (numbered !== undefined) return folded === `${letters}2` ? 'text_pair' : numbered;
  for (const affix of AFFIXES) {
    const after = folded.endsWith(affix) ? base(folded.slice(0, -affix.length)) : undefined;
    // A single letter is no prefix.
    const before = affix.length > 1 && folded.startsWith(affix) ? base(folded.slice(affix.length)) : undefined;
    const found = after ?? before;
    if (found !== undefined) return SECONDS.includes(affix) ? 'text_pair' : found;
  }
  return FOLDED.find(([one]) => one.length >= 4 && isOneEdit(one, folded))?.[1];
}

/** Letters and digits alone, in lower case. */
function fold(name: string): string {
  return name.replace(/[^A-Za-z0-9]/g, '').toLowerCase();
}

/** Whether one letter added, taken away or changed, or two neighbours swapped, makes one of the other. */
function isOneEdit(a: string, b: string): boolean {
  let [start, end] = [0, 0];
  while (start < a.length && start < b.length && a[start] === b[start]) start += 1;
  const most = Math.min(a.length, b.length) - start;
  while (end < most && a[a.length - 1 - end] === b[b.length - 1 - end]) end += 1;
  const [x, y] = [a.slice(start, a.length - end), b.slice(start, b.length - end)];
  return (x.length <= 1 && y.length <= 1) || (x.length === 2 && y.length === 2 && x[0] === y[1] && x[1] === y[0]);
}

function wrong(problem: string, help: string): ClozeError {
  return new ClozeError('input', `${problem}. ${help}`);
}
