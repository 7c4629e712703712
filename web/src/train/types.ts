/** The public types of training. */

import type { CallOptions, PipelineHandle, PipelineOptions, QuestionInput, TextInput } from '../types.js';

export interface TrainOptions extends PipelineOptions {
  /** Where the model comes from, as a pipeline's. There is none that is trained by default. */
  model?: NonNullable<PipelineOptions['model']>;
  /**
   * Which parameters are trained beside the head, which always is: `full`, the default, all; `lora` low-rank adapters of
   * linear layers, which are then exported as `peft` has them; `bitfit` the biases; `head` none.
   */
  method?: 'full' | 'lora' | 'bitfit' | 'head';
  /** The rank of adapters, by default 8. */
  loraR?: number;
  /** The scale of adapters times their rank, by default 16. */
  loraAlpha?: number;
  /** The share of what goes into an adapter that is dropped, by default 0. */
  loraDropout?: number;
  /** The linear layers that are adapted, by the ends of their names; by default `query` and `value`. */
  loraTargets?: readonly string[];
  /** The first layers, so many of them, are not trained. */
  freezeLayers?: number;
  /** The embeddings are not trained. */
  freezeEmbeddings?: boolean;
  /** The names of a classifier's or tagger's classes; by default the model's own. Others than those get a new head. */
  labels?: readonly string[];
  /** Of text classification: whether a text has one class, several, or a value; by default what the model says. */
  problemType?: 'single_label_classification' | 'multi_label_classification' | 'regression';
  /** Whether the dropouts of the model's configuration apply; by default true. */
  dropout?: boolean;
  /** Of dropout, masks and a new head's values: the same steps give the same model on a device. By default 0. */
  seed?: number;
  /** AdamW's, by default 0.9, 0.999, 1e-8. */
  beta1?: number;
  beta2?: number;
  epsilon?: number;
  /** By default 0.01; never applied to biases and LayerNorm. */
  weightDecay?: number;
  /** The norm that all gradients together are clipped to, by default 1; 0 for none. */
  maxGradNorm?: number;
  /** Whether the moments' bias is corrected, as PyTorch does and BERT's own optimizer does not; by default true. */
  correctBias?: boolean;
  /** Compute a layer's activations again when going back, instead of keeping them: less memory, a third more time. */
  checkpointActivations?: boolean;
  /** Tokens of a sequence; by default as many as the model takes, for a question with its context at most 384. What is longer is cut. */
  maxSeqLen?: number;
  /** Tokens that neighbouring windows of a context share; by default 128. */
  docStride?: number;
}

/** A sequence that is tokenized already, `[CLS]` and `[SEP]` in it. */
export interface TokenInput {
  ids: readonly number[];
  /** Of the first or the second text, 0 or 1; by default all 0. */
  types?: readonly number[];
}

/** A text's class by name or number, its classes by name, or its value. */
export type Label = string | number | readonly string[];

export type TextExample = TextInput & { label: Label };

export interface QuestionExample extends QuestionInput {
  /** What the context says, and where: in UTF-16 units, as JavaScript counts. Null where it does not answer. */
  answer: { text: string; start: number } | null;
}

export interface TagExample {
  words: readonly string[];
  /** As many. */
  tags: readonly string[];
}

/** What each task learns from; the second kind is for who tokenizes. */
export interface Examples {
  'text-classification': TextExample | (TokenInput & { label: Label });
  /** `span`: the answer's first and last token in the sequence. */
  'question-answering': QuestionExample | (TokenInput & { span: readonly [number, number] });
  /** A class's number for each token, null where none is asked for. */
  'token-classification': TagExample | (TokenInput & { tags: readonly (number | null)[] });
  /** A text is masked at random, each time otherwise. `masked`: positions, each with the token that was there. */
  'fill-mask': string | (TokenInput & { masked: readonly (readonly [number, number])[] });
}

/** What each task's model can be asked about: an example needs not say what is right. */
export interface Questions {
  'text-classification': string | TextInput | TokenInput;
  'question-answering': QuestionInput | TokenInput;
  'token-classification': Omit<TagExample, 'tags'> | TokenInput;
  /** The masks are in the text. */
  'fill-mask': string | (TokenInput & { masked: readonly (readonly [number, number])[] });
}

export type TrainTask = keyof Examples;

export interface AccumulateOptions extends CallOptions {
  /** What the batch counts for in the step: of four alike a quarter each. By default 1. */
  share?: number;
}

export interface UpdateOptions {
  /** The learning rate. Its schedule is the caller's. */
  rate: number;
}

export interface ExportOptions extends CallOptions {
  /** Whether adapters are merged into the model's own weights, as pipelines read them. By default false. */
  merged?: boolean;
  /**
   * What adapters call the model that they are of: its name on the Hub, which is the default for a model from there, or
   * its directory where they will be used.
   */
  base?: string;
}

export interface StepOptions extends AccumulateOptions, UpdateOptions {}

export interface Loss {
  /** The mean over the batch's labels, times `share`. */
  loss: number;
}

export interface Update {
  /** Of all gradients together, before they were clipped. */
  gradientNorm: number;
}

export interface Step extends Loss, Update {}

/** What the head says about a sequence, before it becomes probabilities. */
export interface Logits {
  /** Which of the examples the sequence is of, from 0: a long context has several. */
  example: number;
  /**
   * Row after row. A text has one row; a word or `[MASK]` has one; a question's tokens have one each, start and end, and
   * so has each token of a sequence of ids that is tagged. A word without a token, or beyond the sequence's length, has NaN.
   */
  values: Float32Array;
  /** Numbers in a row. */
  columns: number;
}

/** A model in training. Calls take turns; what fails or is aborted leaves the model as it was. */
export interface Trainer<T extends TrainTask = TrainTask> extends PipelineHandle {
  /** One step of the optimizer on these examples, as one batch. */
  step(examples: Examples[T] | readonly Examples[T][], options: StepOptions): Promise<Step>;
  /** Adds a batch's gradients to those of the next step. If it fails or is aborted, all of that step's are dropped. */
  accumulate(examples: Examples[T] | readonly Examples[T][], options?: AccumulateOptions): Promise<Loss>;
  /** The step with all gradients so far. Without any it is refused. */
  update(options: UpdateOptions): Promise<Update>;
  /** What the model says as it is now, without dropout: an entry a sequence. */
  predict(examples: Questions[T] | readonly Questions[T][], options?: CallOptions): Promise<Logits[]>;
  /**
   * The model's files by name, as `cloze`, its command line and transformers read them; of adapters
   * `adapter_model.safetensors` and `adapter_config.json`, as `peft` reads them beside the model that was trained from.
   */
  export(options?: ExportOptions): Promise<Map<string, Uint8Array>>;
}
