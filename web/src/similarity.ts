/** How much alike vectors are, and which of many are closest: plain arithmetic on what feature extraction gives. */

import { ClozeError } from './errors.js';
import { wrong } from './options.js';
import { METRICS } from './settings.js';
import type { FoundText, Metric, Nearest, SearchOptions, TextSearchOptions, Vector } from './types.js';

/** The dot product of two vectors. @throws ClozeError `input` for vectors of different lengths */
export function dot(a: Vector, b: Vector): number {
  same(a, b.length);
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] as number) * (b[i] as number);
  return sum;
}

/** The cosine of the angle between two vectors, -1 to 1; 0 where one of them has no length. */
export function cosine(a: Vector, b: Vector): number {
  return quotient(dot(a, b), length(a) * length(b));
}

/**
 * Every vector of `a` against every one of `b`: a row for each of `a`, a column for each of `b`, one row after the other.
 * `metric` says how two vectors are compared; by default by their cosine.
 */
export function similarity(a: readonly Vector[], b: readonly Vector[], metric: Metric = 'cosine'): Float32Array {
  const scores = new Float32Array(a.length * b.length);
  const by = scorer(b, metric);
  a.forEach((vector, i) => by(vector, scores.subarray(i * b.length, (i + 1) * b.length)));
  return scores;
}

/** The rows of a matrix, as views of its numbers. */
export function rows(matrix: Float32Array, width: number): Float32Array[] {
  const count = matrix.length / width;
  if (!(width > 0 && Number.isSafeInteger(count))) {
    throw new ClozeError('input', `${matrix.length} numbers are no rows of ${width}. Give the width of a row`);
  }
  return Array.from({ length: count }, (_, i) => matrix.subarray(i * width, (i + 1) * width));
}

/** The vectors of `corpus` that are closest to `query`, the closest first; of equally close ones the first. */
export function search(query: Vector, corpus: readonly Vector[], options?: SearchOptions): Nearest;
/** The same for many queries. */
export function search(queries: readonly Vector[], corpus: readonly Vector[], options?: SearchOptions): Nearest[];
/** The texts that are closest in meaning to `query`, by the vectors of a pipeline for feature extraction. */
export function search(query: string, texts: readonly string[], options: TextSearchOptions): Promise<FoundText[]>;
export function search(
  query: string | Vector | readonly Vector[],
  corpus: readonly Vector[] | readonly string[],
  options: SearchOptions | TextSearchOptions = {},
): Nearest | Nearest[] | Promise<FoundText[]> {
  const { topK = 10, metric = 'cosine' } = options;
  if (!Number.isSafeInteger(topK) || topK < 1) throw wrong('topK', 'it is not a whole number from 1', 'Give one');
  if (typeof query === 'string') return texts(query, corpus as readonly string[], options as TextSearchOptions, topK);
  const by = scorer(corpus as readonly Vector[], metric);
  const scores = new Float32Array(corpus.length);
  const one = (vector: Vector): Nearest => {
    by(vector, scores);
    // Sorted from the largest; NaN is behind all numbers.
    const order = (i: number, j: number): number => {
      const [a, b] = [scores[i] as number, scores[j] as number];
      return (Number.isNaN(a) ? 1 : 0) - (Number.isNaN(b) ? 1 : 0) || b - a || i - j;
    };
    const indices = Uint32Array.from(scores, (_, i) => i)
      .sort(order)
      .slice(0, topK);
    return { indices, scores: Float32Array.from(indices, (i) => scores[i] as number) };
  };
  return isVector(query) ? one(query) : query.map(one);
}

async function texts(
  query: string,
  all: readonly string[],
  { embed, metric, queryPrompt = 'query', textPrompt = 'document', rerank, candidates = 50, signal }: TextSearchOptions,
  topK: number,
): Promise<FoundText[]> {
  if (typeof embed !== 'function') throw wrong('embed', 'it is no pipeline', "Give pipeline('feature-extraction', …)");
  const given = signal ? { signal } : {};
  const wanted = await embed(query, { ...given, prompt: queryPrompt });
  const vectors = await embed([...all], { ...given, prompt: textPrompt });
  const { indices, scores } = search(wanted, vectors, {
    topK: rerank ? Math.max(topK, candidates) : topK,
    metric: metric ?? embed.model?.similarity ?? 'cosine',
  });
  const found = Array.from(indices, (index, i) => ({ index, score: scores[i] as number, text: all[index] as string }));
  if (!rerank) return found;
  const ranking = await rerank(
    query,
    found.map(({ text }) => text),
    { topK, ...given },
  );
  return ranking.map(({ index, score }) => ({ ...(found[index] as FoundText), score }));
}

/** Returns what writes the scores of a vector against all of `corpus`. */
function scorer(corpus: readonly Vector[], metric: Metric): (vector: Vector, scores: Float32Array) => void {
  if (!METRICS.includes(metric)) throw wrong('metric', 'it is unknown', `Give one of ${METRICS.join(', ')}`);
  // Once for each vector, not once for each pair.
  const lengths = metric === 'cosine' ? corpus.map(length) : [];
  return (vector, scores) => {
    const own = metric === 'cosine' ? length(vector) : 1;
    corpus.forEach((other, i) => {
      if (metric === 'cosine') scores[i] = quotient(dot(vector, other), own * (lengths[i] as number));
      else scores[i] = metric === 'dot' ? dot(vector, other) : -distance(vector, other, metric);
    });
  };
}

function distance(a: Vector, b: Vector, metric: Metric): number {
  same(a, b.length);
  let sum = 0;
  for (let i = 0; i < a.length; i++) {
    const difference = (a[i] as number) - (b[i] as number);
    sum += metric === 'euclidean' ? difference * difference : Math.abs(difference);
  }
  return metric === 'euclidean' ? Math.sqrt(sum) : sum;
}

/** Divides; a divisor of 0 gives 0, and NaN gives NaN. */
function quotient(product: number, by: number): number {
  return by === 0 ? 0 : product / by;
}

function length(vector: Vector): number {
  return Math.sqrt(dot(vector, vector));
}

function isVector(value: Vector | readonly Vector[]): value is Vector {
  return ArrayBuffer.isView(value) || typeof value[0] === 'number';
}

function same(a: Vector, width: number): void {
  if (a.length !== width) {
    throw new ClozeError('input', `vectors of ${a.length} and of ${width} numbers. Give vectors of one model`);
  }
}
