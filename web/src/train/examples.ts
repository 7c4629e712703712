/** Examples, as the engine reads them. */

import { ClozeError } from '../errors.js';
import { list, pairOf, questionOf, text, textOf } from '../inputs.js';
import type { TrainTask } from './types.js';

type Given = Record<string, unknown>;

/** A target's name, what it is, and whether a value is one. */
type Target = [name: string, what: string, is: (said: unknown) => boolean];

const isNumber = (value: unknown): boolean =>
  Number.isInteger(value) && (value as number) >= 0 && (value as number) < 2 ** 32;
const isString = (value: unknown): boolean => typeof value === 'string';
const isArray = (value: unknown, of: (one: unknown) => boolean): boolean => Array.isArray(value) && value.every(of);
const isPair = (value: unknown): boolean => isArray(value, isNumber) && (value as unknown[]).length === 2;

const isLabel = (said: unknown): boolean => isString(said) || Number.isFinite(said) || isArray(said, isString);
const isTag = (said: unknown): boolean => said === null || isNumber(said);

const LABEL: Target = ['label', 'a string, a number, or an array of strings', isLabel];
const SPAN: Target = ['span', "two tokens' numbers", isPair];
const TAGS: Target = ['tags', "classes' numbers, null where none is asked for", (said) => isArray(said, isTag)];
const MASKED: Target = ['masked', 'pairs of a position and the token that was there', (said) => isArray(said, isPair)];

const READ: Record<TrainTask, (value: unknown) => Given> = {
  'text-classification': (value) => ready(value, LABEL) ?? labelled(value),
  'question-answering': (value) => ready(value, SPAN) ?? question(fields(value)),
  'token-classification': (value) => ready(value, TAGS) ?? words(fields(value)),
  'fill-mask': (value) => ready(value, MASKED) ?? { kind: 'document', text: textOf(value) },
};

export const TASKS = Object.keys(READ) as TrainTask[];

/** An example, or several, to learn from. */
export function lessons(task: TrainTask, given: unknown): Given[] {
  return all(given, (value) => {
    const example = READ[task](value);
    if (example['kind'] !== 'question' || 'answer' in example) return example;
    throw wrong('it does not say its answer', 'Give it, or null where the context has none');
  });
}

/** An example, or several, to be asked about. */
export function questions(task: TrainTask, given: unknown): Given[] {
  return all(given, (value) => {
    const example = READ[task](value);
    // What else would be asked for?
    if (task === 'fill-mask' && example['kind'] === 'ids') said(fields(value), MASKED);
    return example;
  });
}

function all(given: unknown, read: (value: unknown) => Given): Given[] {
  try {
    return list(given, read).list;
  } catch (error) {
    if (!(error instanceof ClozeError)) throw error;
    const { code, message, index = 0 } = error as ClozeError & { index?: number };
    throw new ClozeError(code, `examples[${index}]: ${message}`, { cause: error });
  }
}

const fields = (value: unknown): Given => (typeof value === 'object' && value !== null ? (value as Given) : {});

/** An example that is tokenized, with its target, if it says that, under the name that the task has for it. */
function ready(value: unknown, target: Target): Given | undefined {
  const given = fields(value);
  if (given['ids'] === undefined) return undefined;
  const [ids, types] = [given['ids'], given['types']].map((numbers) =>
    ArrayBuffer.isView(numbers) ? Array.from(numbers as Int32Array) : numbers,
  );
  if (!isArray(ids, isNumber) || (types !== undefined && !isArray(types, isNumber))) {
    throw wrong('ids or types are no array of numbers', 'Give the numbers of tokens');
  }
  const [name] = target;
  return { kind: 'ids', ids, types, ...(given[name] !== undefined && { target: { [name]: said(given, target) } }) };
}

/** What an example says is right. */
function said(given: Given, [name, what, is]: Target): unknown {
  if (is(given[name])) return given[name];
  throw wrong(`${name} is not what it should be`, `Give ${what}`);
}

function labelled(value: unknown): Given {
  const given = fields(value);
  return { kind: 'text', ...pairOf(value), label: given['label'] === undefined ? undefined : said(given, LABEL) };
}

function question(given: Given): Given {
  const { answer } = given;
  const { text: words, start } = fields(answer);
  const isNone = answer === undefined || answer === null;
  if (!isNone && !isNumber(start)) throw wrong('its answer has no start', 'Give its place in the context');
  return {
    kind: 'question',
    ...questionOf(given),
    ...(answer !== undefined && { answer: isNone ? null : { text: text(words, "the answer's text"), start } }),
  };
}

function words({ words, tags }: Given): Given {
  if (!isArray(words, isString) || (tags !== undefined && !isArray(tags, isString))) {
    throw wrong('words or tags are no array of strings', 'Give both as strings');
  }
  return { kind: 'words', words, tags };
}

function wrong(problem: string, help: string): ClozeError {
  return new ClozeError('input', `${problem}. ${help}`);
}
