/** A task's model: which one the visitor chose, its loading, its pipeline. */

import type { Counters, Tasks } from 'cloze';
import { isAbort, messageOf } from './dom.ts';

export type Task = 'question-answering' | 'fill-mask' | 'feature-extraction' | 'next-sentence';

/** A model that comes with the page. Without `path` it is the package's own. */
export interface Included {
  title: string;
  /** What is downloaded, once. */
  bytes: number;
  path?: string;
  revision?: string;
}

export type Choice =
  | { kind: 'none' }
  | { kind: 'included'; included: Included }
  | { kind: 'named'; name: string }
  | { kind: 'folder'; name: string; files: File[] };

export type Stage =
  | { stage: 'empty' }
  | { stage: 'loading'; loaded: number; total: number | undefined }
  | { stage: 'ready' }
  | { stage: 'failed'; message: string };

export type Device = 'auto' | 'webgpu' | 'wasm';

/** Codes of errors after which a pipeline is of no use any more. */
const FATAL = ['io', 'memory', 'cancelled', 'worker_lost'];

export class Model<T extends Task> {
  stage: Stage = { stage: 'empty' };
  choice: Choice;
  /** Milliseconds that the last load took. */
  loadTime: number | undefined;
  /** Tokens a second, as last measured. */
  speed: number | undefined;
  onchange: () => void = () => {};
  #device: Device = 'auto';
  #pipeline: Tasks[T] | undefined;
  #loading: Promise<Tasks[T]> | undefined;
  #abort: AbortController | undefined;

  constructor(
    readonly task: T,
    readonly included?: Included,
  ) {
    this.choice = included ? { kind: 'included', included } : { kind: 'none' };
  }

  get pipeline(): Tasks[T] | undefined {
    return this.#pipeline;
  }

  get name(): string {
    if (this.choice.kind === 'none') return 'none';
    return this.choice.kind === 'included' ? this.choice.included.title : this.choice.name;
  }

  /** Takes another model; it is loaded when it is wanted. */
  choose(choice: Choice): void {
    this.choice = choice;
    this.#reset({ stage: 'empty' });
  }

  on(device: Device): void {
    this.#device = device;
    this.#reset({ stage: 'empty' });
  }

  /** The pipeline, loaded if it is not yet. Who asks while it loads waits with the others. */
  get(): Promise<Tasks[T]> {
    if (this.#pipeline) return Promise.resolve(this.#pipeline);
    this.#loading ??= this.#load();
    return this.#loading;
  }

  /** Stops loading. */
  cancel(): void {
    if (this.stage.stage === 'loading') this.#reset({ stage: 'empty' });
  }

  /**
   * To be told what a call failed with: a pipeline that has ended is loaded anew by the next. Whether that is a
   * failure, and not that the visitor chose another model or device meanwhile.
   */
  failed(error: unknown): boolean {
    const { code } = error as { code?: string };
    if (isAbort(error) || (code === 'cancelled' && !this.#pipeline)) return false;
    if (code !== undefined && FATAL.includes(code)) this.#reset({ stage: 'failed', message: messageOf(error) });
    return true;
  }

  async counters(): Promise<Counters | undefined> {
    return this.#pipeline?.counters();
  }

  async #load(): Promise<Tasks[T]> {
    const abort = (this.#abort = new AbortController());
    const { choice } = this;
    const began = performance.now();
    const files = new Map<string, { loaded: number; total: number | undefined }>();
    const whole = choice.kind === 'included' ? choice.included.bytes : undefined;
    this.#set({ stage: 'loading', loaded: 0, total: whole });
    try {
      // The package is fetched by whom needs it first: the page is there before.
      const { pipeline } = await import('cloze');
      const loaded = await pipeline(this.task, {
        ...modelOf(choice),
        device: this.#device,
        signal: abort.signal,
        onProgress: (progress) => {
          if (progress.status !== 'progress' || progress.file === undefined || abort.signal.aborted) return;
          files.set(progress.file, { loaded: progress.loaded ?? 0, total: progress.total });
          const known = [...files.values()];
          const sum = known.reduce((all, file) => all + file.loaded, 0);
          const total = known.reduce((all, file) => all + (file.total ?? file.loaded), 0);
          this.#set({ stage: 'loading', loaded: sum, total: Math.max(whole ?? 0, total) });
        },
      });
      if (abort.signal.aborted) {
        await loaded.dispose();
        throw new DOMException('Loading was stopped.', 'AbortError');
      }
      this.#pipeline = loaded;
      this.#loading = undefined;
      this.loadTime = performance.now() - began;
      this.#set({ stage: 'ready' });
      return loaded;
    } catch (error) {
      // What is loaded now may be another already.
      if (this.#abort === abort) {
        this.#loading = undefined;
        this.#set(isAbort(error) ? { stage: 'empty' } : { stage: 'failed', message: messageOf(error) });
      }
      throw error;
    }
  }

  #reset(stage: Stage): void {
    const ended = this.#pipeline;
    this.#pipeline = undefined;
    this.#loading = undefined;
    this.speed = undefined;
    const abort = this.#abort;
    this.#abort = undefined;
    abort?.abort();
    void ended?.dispose();
    this.#set(stage);
  }

  #set(stage: Stage): void {
    this.stage = stage;
    this.onchange();
  }
}

function modelOf(choice: Choice): { model?: string | File[]; revision?: string } {
  switch (choice.kind) {
    case 'none':
      throw new Error('Choose a model first.');
    case 'included': {
      const { path, revision } = choice.included;
      return { ...(path !== undefined && { model: path }), ...(revision !== undefined && { revision }) };
    }
    case 'named':
      return { model: choice.name };
    case 'folder':
      return { model: choice.files };
  }
}

/** Whether the browser has this model already. */
export async function isStored({ path, revision }: Included): Promise<boolean> {
  const { listModels } = await import('cloze');
  const name = path === undefined ? 'minilm-l6-qa' : new URL(path, document.baseURI).href;
  return (await listModels()).some(
    (model) => model.complete && model.name === name && (revision === undefined || model.revision === revision),
  );
}
