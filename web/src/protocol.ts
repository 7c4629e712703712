/** What a page and its worker say to each other, and what both sides of that wall have in common. */

import type { Code } from './errors.js';
import type { LoadOptions, ModelSpec, Progress } from './load/index.js';
import type { Metric } from './settings.js';

export type Device = 'webgpu' | 'wasm';

/** How an engine is opened: plain data, that crosses to a worker. */
export interface OpenRequest {
  task: string;
  device: 'auto' | Device;
  model: ModelSpec;
  load: Omit<LoadOptions, 'signal' | 'onProgress'>;
  /** Task options that are fixed at load, as JSON. */
  options: string;
  /** The WebAssembly module, or its address. */
  module: string | WebAssembly.Module;
  /** The address of the module with Unigram tokenizers, where `module` is an address and has none. */
  unigram?: string;
}

/** What an engine runs on, and what it has loaded. */
export interface State {
  device: Device;
  reason: string;
  /** The adapter or processor, for people. */
  adapter: string;
  /** `similarity`: how the vectors of a sentence-transformers model are compared, if its files say so. */
  model: { name: string; revision?: string; files: string[]; cached: boolean; similarity?: Metric };
}

/** Work done since the engine was opened. */
export interface Counters {
  /** Operations of the encoder that were finished, on the GPU sent off. */
  ops: number;
  /** Batches of work sent to the GPU. */
  submissions: number;
  /** Times that results were read back from the GPU. */
  readbacks: number;
  /** Times that a lost or failing GPU was replaced. */
  recoveries: number;
}

/** What an engine is asked to do. */
export type Work =
  /** `undo` is run in the call's place if it fails or is aborted, before the calls that were made after it. */
  { kind: 'run'; request: string; undo?: string } | { kind: 'counters' };

/** An engine, here or in a worker. */
export interface Backend {
  readonly state: State;
  /** Whether it lives in a worker. */
  readonly worker: boolean;
  perform(work: Work, signal?: AbortSignal): Promise<unknown>;
  dispose(): Promise<void>;
}

/** Opens an engine where it is called. */
export type OpenEngine = (request: OpenRequest, hooks: Hooks) => Promise<Backend>;

export interface Hooks {
  signal?: AbortSignal | undefined;
  onProgress?: ((progress: Progress) => void) | undefined;
}

export type ToWorker =
  | { kind: 'open'; id: number; request: OpenRequest }
  | { kind: 'work'; id: number; work: Work }
  | { kind: 'abort'; id: number }
  /** Is to be answered by `pong` at once. */
  | { kind: 'ping' };

export type FromWorker =
  | { kind: 'started' }
  | { kind: 'pong' }
  /** The name of a lock that the worker holds until it ends, however it does. */
  | { kind: 'alive'; lock: string }
  | { kind: 'progress'; progress: Progress }
  | { kind: 'done'; id: number; value: unknown; state: State }
  | { kind: 'failed'; id: number; failure: Failure };

/** An error on its way: errors of one's own classes do not survive a message. */
export interface Failure {
  name: string;
  message: string;
  code?: Code;
}
