/** The public types: tasks, their inputs, options and results. Scores are probabilities, 0 to 1, unless said. */

import type { NameOf, Role } from './fields.js';
import type { Counters, Device, State } from './protocol.js';
import type { GiveFile, Progress } from './load/index.js';
import type { Metric } from './settings.js';

export interface PipelineOptions {
  /**
   * Where the model comes from: a Hub id (`owner/name`, `owner/name@revision`), the address of a directory, the files of
   * one that the visitor picked, or a function that gives files by their names. In Node, Deno and Bun also the path of a
   * directory, relative to the working directory; `owner/name` is a directory where there is one. Without it, the
   * default question answering model that the package holds.
   */
  model?: string | URL | FileList | readonly File[] | GiveFile;
  /** `auto`, the default: WebGPU on a real GPU that passes the self-test, else WebAssembly. */
  device?: 'auto' | Device;
  /**
   * Whether the work is done in a worker, which is the default where there are workers and the model is no function;
   * or what makes it, of a script that imports `cloze/worker`.
   */
  worker?: boolean | (() => Worker);
  onProgress?: (progress: Progress | Ready) => void;
  /** Aborts loading. */
  signal?: AbortSignal;
  /** A branch, tag or commit of the Hub; for an address, a name for its contents that changes when they do. */
  revision?: string;
  /** The Hub's address, by default `https://huggingface.co`. */
  hub?: string;
  /** For models of the Hub that are not for everyone. */
  token?: string;
  /** Never touch the network. */
  offline?: boolean;
  /** Keep the model in the browser's cache; by default true. */
  cache?: boolean;
  /** Files by their paths, and the SHA-256 each must have: as in HTML, or in hex. */
  integrity?: Record<string, string>;
  /**
   * What importing `cloze/cloze.wasm` gives, where bytes may not be compiled, as in workerd; for models with a Unigram
   * tokenizer, as multilingual ones have, what importing `cloze/unigram.wasm` gives.
   */
  module?: WebAssembly.Module;
}

/** The last message of a load. */
export interface Ready {
  status: 'ready';
  task: string;
  name: string;
}

/** transformers.js' names of options of loading that mean the same. */
export interface TransformersLoadNames {
  progress_callback?: (progress: Progress | Ready) => void;
  local_files_only?: boolean;
}

/** What every call takes. */
export interface CallOptions {
  /** Aborts this call, while it waits or while it runs: it rejects with an `AbortError` at once. */
  signal?: AbortSignal;
}

/** What every pipeline has beside the call. */
export interface PipelineHandle {
  /** What the work is done on. It changes if a GPU is lost for good. */
  readonly device: Device;
  /** Why on this device, for people. */
  readonly reason: string;
  /** The adapter or processor, for people. */
  readonly adapter: string;
  /** Whether the work is done in a worker. */
  readonly worker: boolean;
  readonly model: State['model'];
  /** Work done so far. */
  counters(): Promise<Counters>;
  /** Frees the worker, the GPU device, the memory. Calls that wait are rejected. More than once does no harm. */
  dispose(): Promise<void>;
}

export interface AnswerOptions extends CallOptions {
  /** How many answers at most; by default 1. */
  topK?: number;
  /** The longest answer in tokens; by default 15. */
  maxAnswerTokens?: number;
  /** Tokens of a window of the context with the question; by default 384. */
  maxSeqLen?: number;
  /** Tokens that neighbouring windows share; by default 128. */
  docStride?: number;
  /** Let "there is no answer" compete, an answer of no text. */
  noAnswer?: boolean;
  /** Widen answers to whole words; by default true. */
  alignToWords?: boolean;
  /** transformers.js' and Python's names of the same. */
  top_k?: number;
  max_answer_len?: number;
  max_seq_len?: number;
  doc_stride?: number;
  handle_impossible_answer?: boolean;
  align_to_words?: boolean;
}

export interface QuestionInput {
  question: string;
  context: string;
}

export interface Answer {
  /** `context.slice(start, end)` */
  answer: string;
  /** Summed over the places that say the same, so that it can exceed 1. */
  score: number;
  /** In UTF-16 units, as JavaScript counts. */
  start: number;
  end: number;
}

/** A question's answers, and what they come from. */
export interface Explained {
  answers: Answer[];
  /** The context's tokens, in order. */
  context: TokenScores;
  /** Tokens that the encoder read: those of all windows of the context, each with the question. */
  tokens: number;
}

/** A number for each token. */
export interface TokenScores {
  /** Places in the context, in UTF-16 units. */
  start: Uint32Array;
  end: Uint32Array;
  /** The probability that the answer starts with the token, the greatest of its windows. */
  startScore: Float32Array;
  /** The probability that it ends with the token. */
  endScore: Float32Array;
}

export interface QuestionAnswering extends PipelineHandle {
  /** The best answers, the best first. */
  (question: string, context: string, options?: AnswerOptions): Promise<Answer[]>;
  (input: QuestionInput, options?: AnswerOptions): Promise<Answer[]>;
  /** Many at once; one context for all questions, or one for each. */
  (questions: string[], context: string | string[], options?: AnswerOptions): Promise<Answer[][]>;
  (inputs: QuestionInput[], options?: AnswerOptions): Promise<Answer[][]>;
  /** The best answers, and what the model says about every token, at the cost of the answers alone. */
  explain(question: string, context: string, options?: AnswerOptions): Promise<Explained>;
}

export interface FillMaskOptions extends CallOptions {
  /** How many words a mask; by default 5. */
  topK?: number;
  /** Choose among these words only. */
  targets?: string | string[];
  top_k?: number;
}

export interface Filled {
  /** The mask's number in the text, from 0. */
  mask: number;
  tokenId: number;
  token: string;
  score: number;
  /** The text with the word in place. */
  sequence: string;
}

export interface FillMask extends PipelineHandle {
  /** The words that may stand at each `[MASK]`, by mask, the best first. */
  (text: string, options?: FillMaskOptions): Promise<Filled[]>;
  (texts: string[], options?: FillMaskOptions): Promise<Filled[][]>;
}

export type Pooling = 'auto' | 'cls' | 'mean' | 'max' | 'mean_sqrt_len_tokens' | 'weightedmean' | 'lasttoken';

export interface FeatureOptions extends CallOptions {
  /**
   * Scale vectors to length 1. By default true; false without pooling, and where the model's files say that vectors are
   * compared by something else than their angle.
   */
  normalize?: boolean;
  /** What stands before every text: one of the model's prompts by its name, or a text. By default as the model says. */
  prompt?: string;
  /** How many numbers of a vector are kept (Matryoshka models). By default as the model says. */
  dimensions?: number;
  prompt_name?: string;
  truncate_dim?: number;
  /** The pooling that the pipeline was loaded with; another one is an error. */
  pooling?: Pooling | 'none';
}

/** An object with one field of a role, under any one of the role's names. */
type Field<R extends Role, Value> = {
  [Name in NameOf<R>]: { [Key in Name]: Value } & { [Other in Exclude<NameOf<R>, Name>]?: never };
}[NameOf<R>];

/** Two texts that belong together, under any of the names that data sets use, such as `text` and `text_pair`. */
export type PairInput =
  | (Field<'text', string> & Field<'pair', string>)
  | { question: string; sentence: string }
  | { question: string; context: string };

/** A text, alone or with a second one that belongs to it, under any of the names that data sets use. */
export type TextInput = Field<'text', string> | PairInput;

export interface FeatureExtraction extends PipelineHandle {
  /** A text's vector. */
  (text: string | TextInput, options?: FeatureOptions): Promise<Float32Array>;
  (texts: (string | TextInput)[], options?: FeatureOptions): Promise<Float32Array[]>;
}

export interface TokenFeatures extends PipelineHandle {
  /** A vector for each token, `[CLS]` and `[SEP]` among them. */
  (text: string | TextInput, options?: FeatureOptions): Promise<Float32Array[]>;
  (texts: (string | TextInput)[], options?: FeatureOptions): Promise<Float32Array[][]>;
}

export interface TextClassificationOptions extends CallOptions {
  /** How many classes; by default all. */
  topK?: number;
  top_k?: number;
}

export interface Scored {
  label: string;
  /** A probability, but for a regression, where it is the quantity. */
  score: number;
}

export interface TextClassification extends PipelineHandle {
  /** Classes, the best first. */
  (text: string | TextInput, options?: TextClassificationOptions): Promise<Scored[]>;
  (texts: (string | TextInput)[], options?: TextClassificationOptions): Promise<Scored[][]>;
}

export interface TagOptions extends CallOptions {
  /** How tokens are joined; by default not at all. */
  aggregation?: Aggregation;
  aggregation_strategy?: Aggregation;
}

export type Aggregation = 'none' | 'simple' | 'first' | 'average' | 'max';

export interface Entity {
  /** The class; of joined tokens without `B-` and `I-`. */
  entity: string;
  score: number;
  /** The token's place in the sequence, from 1; nothing for joined tokens. */
  index?: number;
  word: string;
  /** In UTF-16 units of the text. */
  start: number;
  end: number;
}

export interface TokenClassification extends PipelineHandle {
  /** The tokens that have a class, or what they make together; `O` is left out. */
  (text: string, options?: TagOptions): Promise<Entity[]>;
  (texts: string[], options?: TagOptions): Promise<Entity[][]>;
}

export interface NextSentenceResult {
  /** The probability that the second text follows the first. */
  isNext: number;
}

export interface NextSentence extends PipelineHandle {
  (first: string, second: string, options?: CallOptions): Promise<NextSentenceResult>;
  (pair: PairInput, options?: CallOptions): Promise<NextSentenceResult>;
  (pairs: PairInput[], options?: CallOptions): Promise<NextSentenceResult[]>;
}

export interface ZeroShotOptions extends CallOptions {
  /** The sentence that a label is put into, at `{}`; by default `This example is {}.` */
  template?: string;
  /** Let several labels be true: each score is a probability of its own. */
  multiLabel?: boolean;
  hypothesis_template?: string;
  multi_label?: boolean;
}

export interface ZeroShotClassification extends PipelineHandle {
  /** Labels, the best first. */
  (text: string, labels: string | string[], options?: ZeroShotOptions): Promise<Scored[]>;
  (texts: string[], labels: string | string[], options?: ZeroShotOptions): Promise<Scored[][]>;
}

/** A query and the texts that are ranked for it. */
export type RankInput = { query: string } & Field<'texts', readonly string[]>;

export interface RankOptions extends CallOptions {
  /** How many of the best texts; by default all. */
  topK?: number;
  /** What stands before the query: one of the model's prompts by its name, or a text. By default as the model says. */
  prompt?: string;
  top_k?: number;
}

/** A text in a ranking. */
export interface Ranked {
  /** The text's place among those that were given. */
  index: number;
  /** Higher is better. From 0 to 1 unless the model's `config.json` names another activation than the sigmoid. */
  score: number;
  text: string;
}

export interface TextRanking extends PipelineHandle {
  /** The texts by how well they answer the query, the best first; of equal scores the first text first. */
  (query: string, texts: readonly string[], options?: RankOptions): Promise<Ranked[]>;
  (input: RankInput, options?: RankOptions): Promise<Ranked[]>;
  (inputs: readonly RankInput[], options?: RankOptions): Promise<Ranked[][]>;
}

/** Numbers in an array of any kind. */
export type Vector = ArrayLike<number>;

export type { Metric };

export interface SearchOptions {
  /** How many at most; by default 10. */
  topK?: number;
  /** By default cosines. */
  metric?: Metric;
}

/** The vectors that are closest to another, the closest first. */
export interface Nearest {
  /** Their places among those that were searched. */
  indices: Uint32Array;
  scores: Float32Array;
}

export interface TextSearchOptions extends CallOptions {
  /** What makes vectors of the texts. */
  embed: FeatureExtraction;
  /** How many texts at most; by default 10. */
  topK?: number;
  /** How vectors are compared; by default as the model says (`similarity_fn_name`), else by their cosine. */
  metric?: Metric;
  /** What stands before the query and before the texts: names of the model's prompts, or texts. By default `query` and `document`. */
  queryPrompt?: string;
  textPrompt?: string;
  /** What reads the closest texts again, each with the query, and ranks them. */
  rerank?: TextRanking;
  /** How many texts it reads; by default 50. */
  candidates?: number;
}

/** A text that was found, with its place among those that were searched; the score is a cosine, or the ranking's. */
export type FoundText = Ranked;

/** Each task's pipeline. */
export interface Tasks {
  'question-answering': QuestionAnswering;
  'fill-mask': FillMask;
  'feature-extraction': FeatureExtraction;
  'text-classification': TextClassification;
  'token-classification': TokenClassification;
  'next-sentence': NextSentence;
  'zero-shot': ZeroShotClassification;
  'text-ranking': TextRanking;
  /** transformers.js' names of some of the same. */
  'zero-shot-classification': ZeroShotClassification;
  'sentiment-analysis': TextClassification;
  ner: TokenClassification;
}

export type Task = keyof Tasks;
