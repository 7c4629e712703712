/** The tasks: what each is asked, and what its answers are made of. One entry of `TASKS` a task. */

import { ClozeError, messageOf } from './errors.js';
import type { Code } from './errors.js';
import { fieldsOf } from './fields.js';
import { json, list, pairOf, questionOf, text, textOf } from './inputs.js';
import type { Inputs } from './inputs.js';
import { normalise, signalOf, wrong } from './options.js';
import type { Table } from './options.js';
import type { Answer, Explained, QuestionInput, Ranked } from './types.js';

/** A call, ready for an engine: its request, and how the engine's results become the caller's. */
export interface Prepared {
  single: boolean;
  signal: AbortSignal | undefined;
  request: string;
  result(value: unknown, index: number): unknown;
}

export interface Entry {
  /** Options of loading that are this task's own. */
  load: Table;
  /** From a call's arguments to what an engine is asked. */
  prepare: (...args: unknown[]) => Prepared;
  /** The same of other calls, by the names that they have beside the pipeline's own. */
  also?: Record<string, (...args: unknown[]) => Prepared>;
}

function prepared(
  { list: inputs, single }: Inputs<unknown>,
  { signal, ...options }: Record<string, unknown>,
  result: Prepared['result'] = (value) => value,
): Prepared {
  return { single, signal: signalOf(signal), request: json({ inputs, options }), result };
}

// ---- question answering

const SIGNAL = { signal: { kind: 'any' } } as const satisfies Table;

const ANSWER: Table = {
  ...SIGNAL,
  topK: { kind: 'number', also: ['top_k'] },
  maxAnswerTokens: { kind: 'number', also: ['max_answer_len'] },
  maxSeqLen: { kind: 'number', also: ['max_seq_len'] },
  docStride: { kind: 'number', also: ['doc_stride'] },
  noAnswer: { kind: 'boolean', also: ['handle_impossible_answer'] },
  alignToWords: { kind: 'boolean', also: ['align_to_words'] },
};

function questions(first: unknown, second: unknown): Inputs<QuestionInput> {
  if (typeof first === 'object' && first !== null && !(Array.isArray(first) && typeof first[0] === 'string')) {
    return list(first, questionOf);
  }
  const { list: asked, single } = list(first, (value) => text(value, 'the question'));
  const contexts = list(second, (value) => text(value, 'the context')).list;
  if (contexts.length !== 1 && contexts.length !== asked.length) {
    const problem = `there are ${asked.length} questions and ${contexts.length} contexts`;
    throw new ClozeError('input', `${problem}. Give one context for all, or one for each`);
  }
  const pairs = asked.map((question, i) => ({ question, context: contexts[i] ?? contexts[0] ?? '' }));
  return { list: pairs, single: single && !Array.isArray(second) };
}

function prepareAnswer(first: unknown, second: unknown, third: unknown): Prepared {
  // Without a context of its own the second argument is the options.
  const joined = typeof first === 'object' && first !== null && typeof second !== 'string' && !Array.isArray(second);
  const options = normalise(joined ? second : third, ANSWER, 'question-answering');
  const inputs = questions(first, joined ? undefined : second);
  return prepared(inputs, options, (spans, i) => cut(inputs.list[i]?.context ?? '', spans as Span[]));
}

interface Span {
  score: number;
  start: number;
  end: number;
}

/** Answers are cut from what was given, so that a slice of it is the answer whatever its characters. */
function cut(context: string, spans: Span[]): Answer[] {
  return spans.map(({ score, start, end }) => ({ answer: context.slice(start, end), score, start, end }));
}

function prepareExplain(question: unknown, context: unknown, given: unknown): Prepared {
  const options = normalise(given, ANSWER, 'explain');
  const input = { question: text(question, 'the question'), context: text(context, 'the context') };
  return prepared({ list: [input], single: true }, { ...options, explain: true }, (value): Explained => {
    type Columns = [string, number, Uint32Array, Uint32Array, Float32Array, Float32Array];
    const [spans, tokens, start, end, startScore, endScore] = value as Columns;
    const answers = cut(input.context, JSON.parse(spans) as Span[]);
    return { answers, context: { start, end, startScore, endScore }, tokens };
  });
}

// ---- the others

const FILL: Table = { ...SIGNAL, topK: { kind: 'number', also: ['top_k'] }, targets: { kind: 'strings' } };

interface Filled {
  mask: number;
  token_id: number;
  token: string;
  score: number;
  sequence: string;
}

function prepareFill(texts: unknown, options: unknown): Prepared {
  const inputs = list(texts, textOf);
  return prepared(inputs, normalise(options, FILL, 'fill-mask'), (rows) =>
    (rows as Filled[]).map(({ mask, token_id, token, score, sequence }) => ({
      mask,
      tokenId: token_id,
      token,
      score,
      sequence,
    })),
  );
}

const FEATURES: Table = {
  ...SIGNAL,
  pooling: { kind: 'string' },
  normalize: { kind: 'boolean' },
  prompt: { kind: 'string', also: ['prompt_name'] },
  dimensions: { kind: 'number', also: ['truncate_dim'] },
};

function prepareFeatures(texts: unknown, options: unknown): Prepared {
  return prepared(list(texts, pairOf), normalise(options, FEATURES, 'feature-extraction'));
}

const CLASSIFY: Table = { ...SIGNAL, topK: { kind: 'number', also: ['top_k'] } };

function prepareClassify(texts: unknown, options: unknown): Prepared {
  const { topK, ...others } = normalise(options, CLASSIFY, 'text-classification');
  if (topK === 0) throw wrong('topK', 'it is 0', 'Give at least 1');
  return prepared(list(texts, pairOf), others, (labels) => (labels as unknown[]).slice(0, topK as number | undefined));
}

const TAG: Table = { ...SIGNAL, aggregation: { kind: 'string', also: ['aggregation_strategy'] } };

function prepareTag(texts: unknown, options: unknown): Prepared {
  const inputs = list(texts, textOf);
  return prepared(inputs, normalise(options, TAG, 'token-classification'));
}

function prepareNext(first: unknown, second: unknown, third: unknown): Prepared {
  const two = typeof first === 'string';
  const inputs = list(two ? { text: first, pair: second } : first, pairOf);
  return prepared(inputs, normalise(two ? third : second, SIGNAL, 'next-sentence'), (isNext) => ({ isNext }));
}

const ZERO_SHOT: Table = {
  ...SIGNAL,
  template: { kind: 'string', also: ['hypothesis_template'] },
  multiLabel: { kind: 'boolean', also: ['multi_label'] },
};

function prepareZeroShot(texts: unknown, candidates: unknown, options: unknown): Prepared {
  const inputs = list(texts, textOf);
  const labels = list(candidates, (value) => text(value, 'the label')).list;
  return prepared(inputs, { ...normalise(options, ZERO_SHOT, 'zero-shot'), labels });
}

const RANK: Table = { ...SIGNAL, topK: { kind: 'number', also: ['top_k'] }, prompt: { kind: 'string' } };

function prepareRank(first: unknown, second: unknown, third: unknown): Prepared {
  const two = typeof first === 'string';
  const inputs = list(two ? { query: first, texts: second } : first, (value) => {
    const { query, texts } = fieldsOf(Object(value), ['query', 'texts']);
    if (!Array.isArray(texts)) throw new ClozeError('input', 'texts is no array. Give an array of strings');
    return { query: text(query, 'query'), texts: list(texts, (one) => text(one, 'a text')).list };
  });
  return prepared(inputs, normalise(two ? third : second, RANK, 'text-ranking'), (ranking, i) =>
    (ranking as Omit<Ranked, 'text'>[]).map((one): Ranked => ({
      ...one,
      text: inputs.list[i]?.texts[one.index] ?? '',
    })),
  );
}

export const TASKS = {
  'question-answering': { load: {}, prepare: prepareAnswer, also: { explain: prepareExplain } },
  'fill-mask': { load: {}, prepare: prepareFill },
  'feature-extraction': { load: { pooling: { kind: 'string' } }, prepare: prepareFeatures },
  'text-classification': { load: {}, prepare: prepareClassify },
  'token-classification': { load: {}, prepare: prepareTag },
  'next-sentence': { load: {}, prepare: prepareNext },
  'zero-shot': { load: {}, prepare: prepareZeroShot },
  'text-ranking': { load: {}, prepare: prepareRank },
} as const satisfies Record<string, Entry>;

/** transformers.js' names of tasks, where they are others. */
const ALSO: Record<string, keyof typeof TASKS> = {
  'zero-shot-classification': 'zero-shot',
  'sentiment-analysis': 'text-classification',
  ner: 'token-classification',
};

/** A task by either name. */
export function taskNamed(name: string): keyof typeof TASKS | undefined {
  if (Object.hasOwn(ALSO, name)) return ALSO[name];
  return Object.hasOwn(TASKS, name) ? (name as keyof typeof TASKS) : undefined;
}

/** The engine's results, as the caller's. @throws the first input's error, with its `index`. */
export function results({ single, result }: Prepared, value: unknown): unknown {
  try {
    const all = typeof value === 'string' ? (JSON.parse(value) as unknown[]) : (value as unknown[]);
    const each = all.map((one, index) => {
      const { code, message } = failure(one);
      if (code !== undefined) throw Object.assign(new ClozeError(code, message), { index });
      return result(one, index);
    });
    return single ? each[0] : each;
  } catch (error) {
    if (error instanceof ClozeError) throw error;
    // Of a worker whose script is another's.
    throw new ClozeError(
      'worker_lost',
      `The engine gave results that cannot be read: ${messageOf(error)}. Open the pipeline again`,
    );
  }
}

function failure(one: unknown): { code?: Code; message: string } {
  if (typeof one !== 'object' || one === null || !('error' in one)) return { message: '' };
  return one.error as { code: Code; message: string };
}
