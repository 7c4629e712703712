/** Examples, as the engine reads them. */

import { ClozeError } from '../errors.js';
import { list, pairOf, text } from '../inputs.js';
import type { TrainTask } from './types.js';

type Given = Record<string, unknown>;

const READ: Record<TrainTask, (value: unknown) => Given> = {
  'text-classification': (value) => ready(value, 'label', label) ?? labelled(value),
  'question-answering': (value) => ready(value, 'span') ?? question(fields(value)),
  'token-classification': (value) => ready(value, 'tags') ?? words(fields(value)),
  'fill-mask': (value) => ready(value, 'masked') ?? { kind: 'document', text: text(value, 'the text') },
};

export const TASKS = Object.keys(READ) as TrainTask[];

/** An example, or several, of a task. */
export function examples(task: TrainTask, given: unknown): Given[] {
  return list(given, READ[task]).list;
}

const fields = (value: unknown): Given => (typeof value === 'object' && value !== null ? (value as Given) : {});

/** An example that is tokenized, with its target under the name that the task has for it. */
function ready(value: unknown, target: string, check = (said: unknown) => said): Given | undefined {
  const { ids, types, [target]: said } = fields(value);
  if (ids === undefined) return undefined;
  if (!isArray(ids, isNumber) || (types !== undefined && !isArray(types, isNumber))) {
    throw wrong('ids or types are no array of numbers', 'Give the numbers of tokens');
  }
  return { kind: 'ids', ids, types, target: said === undefined ? undefined : { [target]: check(said) } };
}

function labelled(value: unknown): Given {
  return { kind: 'text', ...pairOf(value), label: label(fields(value)['label']) };
}

/** A label, or none. */
function label(said: unknown): unknown {
  if (said === undefined || isString(said) || Number.isFinite(said) || isArray(said, isString)) return said;
  throw wrong('a label is neither a string, a number, nor an array of strings', 'Give one of them');
}

function question(given: Given): Given {
  const { question, context, answer } = given;
  const { text: said, start } = fields(answer);
  const isNone = answer === undefined || answer === null;
  if (!isNone && !isNumber(start)) throw wrong('an answer has no start', 'Give its place in the context');
  return {
    kind: 'question',
    question: text(question, 'question'),
    context: text(context, 'context'),
    ...(!isNone && { answer: { text: text(said, "the answer's text"), start } }),
  };
}

function words({ words, tags }: Given): Given {
  if (!isArray(words, isString) || (tags !== undefined && !isArray(tags, isString))) {
    throw wrong('words or tags are no array of strings', 'Give both as strings');
  }
  return { kind: 'words', words, tags };
}

const isNumber = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;
const isString = (value: unknown): boolean => typeof value === 'string';
const isArray = (value: unknown, of: (one: unknown) => boolean): boolean => Array.isArray(value) && value.every(of);

function wrong(problem: string, mend: string): ClozeError {
  return new ClozeError('input', `${problem}. ${mend}`);
}
