/** An engine in a worker, by the same interface as one in the page. */

import { abortError, ClozeError } from './errors.js';
import type { Backend, Failure, FromWorker, Hooks, OpenRequest, State, ToWorker, Work } from './protocol.js';

interface Waiting {
  resolve(value: unknown): void;
  reject(error: unknown): void;
  signal: AbortSignal | undefined;
}

/** The worker's script did not start: blocked, or not served. */
export class NoWorker extends Error {}

export class RemoteEngine implements Backend {
  readonly worker = true;
  #worker: Worker;
  #state: State | undefined;
  #waiting = new Map<number, Waiting>();
  #next = 0;
  /** What is said before the worker listens: its script may take a while. Nothing, once it does. */
  #unsaid: ToWorker[] | undefined = [];
  #ended: ClozeError | undefined;
  #onProgress: Hooks['onProgress'];

  private constructor(worker: Worker, onProgress: Hooks['onProgress']) {
    this.#worker = worker;
    this.#onProgress = onProgress;
    worker.onmessage = ({ data }: MessageEvent<FromWorker>) => this.#take(data);
    worker.onmessageerror = () => this.#end(new ClozeError('io', 'A message of the worker cannot be read. Try again'));
    worker.onerror = (event) => {
      event.preventDefault?.();
      const what = event.message || 'its script cannot be loaded';
      const stopped = new ClozeError('io', `The worker stopped: ${what}. Open the pipeline again`);
      this.#end(this.#unsaid ? new NoWorker(what) : stopped);
    };
  }

  /** @throws NoWorker if the worker does not start. */
  static async open(worker: Worker, request: OpenRequest, hooks: Hooks): Promise<RemoteEngine> {
    const engine = new RemoteEngine(worker, hooks.onProgress);
    try {
      await engine.#ask((id) => ({ kind: 'open', id, request }), hooks.signal);
    } catch (error) {
      engine.#stop();
      throw error;
    }
    engine.#onProgress = undefined;
    return engine;
  }

  get state(): State {
    if (!this.#state) throw new ClozeError('cancelled', 'The pipeline is not open');
    return this.#state;
  }

  perform(work: Work, signal?: AbortSignal): Promise<unknown> {
    return this.#ask((id) => ({ kind: 'work', id, work }), signal);
  }

  #ask(message: (id: number) => ToWorker, signal?: AbortSignal): Promise<unknown> {
    if (signal?.aborted) return Promise.reject(abortError(signal));
    if (this.#ended) return Promise.reject(this.#ended);
    const id = this.#next++;
    let stop = (): void => this.#say({ kind: 'abort', id });
    const answer = new Promise<unknown>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject, signal });
      this.#say(message(id));
      // Who gives up loading need not hear of the worker, which is ended, and may never have started.
      if (!this.#state) stop = () => reject(abortError(signal));
      signal?.addEventListener('abort', stop);
    });
    return answer.finally(() => {
      this.#waiting.delete(id);
      signal?.removeEventListener('abort', stop);
    });
  }

  #say(message: ToWorker): void {
    if (this.#unsaid) this.#unsaid.push(message);
    else this.#worker.postMessage(message);
  }

  /** A script of the caller's may say other things as well. */
  #take(message: FromWorker | null): void {
    switch (message?.kind) {
      case 'started': {
        const unsaid = this.#unsaid ?? [];
        this.#unsaid = undefined;
        for (const message of unsaid) this.#worker.postMessage(message);
        break;
      }
      case 'progress':
        this.#onProgress?.(message.progress);
        break;
      case 'done':
        this.#state = message.state;
        this.#waiting.get(message.id)?.resolve(message.value);
        break;
      case 'failed': {
        const waiting = this.#waiting.get(message.id);
        waiting?.reject(revive(message.failure, waiting.signal));
        break;
      }
    }
  }

  #end(error: ClozeError | NoWorker): void {
    this.#ended ??= error instanceof ClozeError ? error : new ClozeError('io', error.message);
    this.#stop();
    for (const { reject } of this.#waiting.values()) reject(error);
  }

  #stop(): void {
    this.#worker.terminate();
    // Deno 2.9 crashes if the program ends while a worker does that has looked for a GPU: so it ends a little later.
    if ('Deno' in globalThis) setTimeout(() => {}, 200);
  }

  /** Ends the worker, and with it its memory and its GPU device. */
  dispose(): Promise<void> {
    this.#end(new ClozeError('cancelled', 'The pipeline was disposed of. Open another one'));
    return Promise.resolve();
  }
}

function revive({ name, message, code }: Failure, signal?: AbortSignal): Error {
  if (name === 'AbortError') return abortError(signal);
  if (code) return new ClozeError(code, message);
  return Object.assign(new Error(message), { name });
}
