/** An engine in a worker, by the same interface as one in the page. */

import { onAbort } from './aborts.js';
import { abortError, ClozeError, messageOf } from './errors.js';
import type { Backend, FromWorker, Hooks, OpenRequest, State, ToWorker, Work } from './protocol.js';
import { failureOf, isProgress, isState } from './foreign.js';

interface Waiting {
  resolve(value: unknown): void;
  reject(error: unknown): void;
  signal: AbortSignal | undefined;
  /** Listens to the signal no more. */
  off(): void;
}

/** The worker's script did not start: blocked, or not served. */
export class NoWorker extends Error {}

/** Milliseconds from one look at the worker to the next, while something is asked of it. */
const LOOK = 1000;

/**
 * After how many looks without a sign a worker is given up: one whose script is on its way, one that had nothing to do
 * when it was asked, and one that is at work. WebAssembly may compute for a long time without a turn for messages.
 *
 * Looks are counted, and not time: while a page is frozen or asleep, or its timers are held back, there are as few.
 */
const PATIENCE = { starting: 60, idle: 5, working: 30 };

export class RemoteEngine implements Backend {
  readonly worker = true;
  #worker: Worker;
  #state: State | undefined;
  /** What the worker has not answered yet; of calls that were aborted, whose callers know, too. */
  #waiting = new Map<number, Waiting>();
  #next = 0;
  /** What is said before the worker listens: its script may take a while. Nothing, once it does. */
  #unsaid: ToWorker[] | undefined = [];
  #ended: ClozeError | undefined;
  #onProgress: Hooks['onProgress'];
  #timer: ReturnType<typeof setInterval> | undefined;
  #silent = 0;
  #patience = PATIENCE.starting;

  private constructor(worker: Worker, onProgress: Hooks['onProgress']) {
    this.#worker = worker;
    this.#onProgress = onProgress;
    worker.onmessage = ({ data }: MessageEvent<unknown>) => this.#take(data);
    worker.onmessageerror = () => this.#end(lost('sent what cannot be read'));
    worker.onerror = (event) => {
      event.preventDefault?.();
      const what = event.message || 'its script cannot be loaded';
      this.#end(this.#unsaid ? new NoWorker(what) : lost(`stopped: ${what}`));
    };
  }

  /** @throws NoWorker if the worker does not start. */
  static async open(worker: Worker, request: OpenRequest, hooks: Hooks): Promise<RemoteEngine> {
    const engine = new RemoteEngine(worker, hooks.onProgress);
    try {
      await engine.#ask((id) => ({ kind: 'open', id, request }), hooks.signal);
    } catch (error) {
      engine.#end(closed());
      throw error;
    }
    engine.#onProgress = undefined;
    return engine;
  }

  get state(): State {
    if (!this.#state) throw closed();
    return this.#state;
  }

  perform(work: Work, signal?: AbortSignal): Promise<unknown> {
    // Whether work that has an undo was done is for the caller to know: only the worker does.
    const tells = work.kind === 'run' && work.undo !== undefined;
    return this.#ask((id) => ({ kind: 'work', id, work }), signal, tells);
  }

  /** `tells`: an aborted call ends when the worker says so, and not at once. */
  #ask(message: (id: number) => ToWorker, signal?: AbortSignal, tells = false): Promise<unknown> {
    if (signal?.aborted) return Promise.reject(abortError(signal));
    if (this.#ended) return Promise.reject(this.#ended);
    const id = this.#next++;
    return new Promise<unknown>((resolve, reject) => {
      const off = onAbort(signal, () => {
        this.#say({ kind: 'abort', id });
        if (!tells) reject(abortError(signal));
      });
      if (this.#waiting.size === 0) this.#watch(this.#unsaid ? PATIENCE.starting : PATIENCE.idle);
      this.#waiting.set(id, { resolve, reject, signal, off });
      try {
        this.#say(message(id));
      } catch (error) {
        this.#settled(id);
        reject(error);
      }
    });
  }

  #say(message: ToWorker): void {
    if (this.#unsaid) this.#unsaid.push(message);
    else this.#worker.postMessage(message);
  }

  /** Takes an answer's call out of those that wait, and rests when there is none left. */
  #settled(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    waiting?.off();
    this.#waiting.delete(id);
    if (this.#waiting.size === 0) this.#rest();
    return waiting;
  }

  /** Looks from now on whether the worker gives signs. */
  #watch(patience: number): void {
    this.#silent = 0;
    this.#patience = patience;
    this.#timer ??= setInterval(() => this.#look(), LOOK);
    this.#ping();
  }

  #look(): void {
    this.#silent += 1;
    if (this.#silent < this.#patience) return this.#ping();
    const seconds = `${(this.#patience * LOOK) / 1000} s`;
    this.#end(
      this.#unsaid
        ? new NoWorker(`its script has said nothing for ${seconds}`)
        : lost(`has given no sign for ${seconds}`),
    );
  }

  #ping(): void {
    if (!this.#unsaid) this.#worker.postMessage({ kind: 'ping' } satisfies ToWorker);
  }

  #rest(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** A script of the caller's may say other things as well. */
  #take(message: unknown): void {
    const said = (message ?? {}) as Partial<FromWorker>;
    switch (said.kind) {
      case 'pong':
        this.#silent = 0;
        this.#patience = PATIENCE.working;
        break;
      case 'started':
        this.#start();
        break;
      case 'alive':
        if (typeof said.lock === 'string') this.#attend(said.lock);
        break;
      case 'progress':
        if (isProgress(said.progress)) this.#onProgress?.(said.progress);
        break;
      case 'done':
        if (said.id === undefined || !this.#waiting.has(said.id)) break;
        if (!isState(said.state)) return this.#end(unreadable());
        this.#state = said.state;
        this.#settled(said.id)?.resolve(said.value);
        break;
      case 'failed': {
        if (said.id === undefined || !this.#waiting.has(said.id)) break;
        const failure = failureOf(said.failure);
        if (!failure) return this.#end(unreadable());
        const waiting = this.#settled(said.id);
        waiting?.reject(failure === 'abort' ? abortError(waiting.signal) : failure);
        break;
      }
    }
  }

  #start(): void {
    const unsaid = this.#unsaid;
    if (!unsaid) return;
    this.#unsaid = undefined;
    this.#watch(PATIENCE.idle);
    try {
      for (const message of unsaid) this.#worker.postMessage(message);
    } catch (error) {
      this.#end(lost(`cannot be told what to do: ${messageOf(error)}`));
    }
  }

  /** Waits for a lock that the worker holds for as long as it lives: nothing else tells of a worker that ends in silence. */
  #attend(lock: string): void {
    const locks = (globalThis.navigator as { locks?: LockManager } | undefined)?.locks;
    locks?.request(lock, () => this.#end(lost('has ended, as it may when memory is short'))).catch(() => {});
  }

  #end(error: ClozeError | NoWorker): void {
    if (this.#ended) return;
    this.#ended = error instanceof ClozeError ? error : new ClozeError('io', error.message);
    this.#rest();
    this.#worker.terminate();
    // Deno 2.9 crashes if the program ends while a worker does that has looked for a GPU: so it ends a little later.
    if ('Deno' in globalThis) setTimeout(() => {}, 200);
    for (const { reject, off } of this.#waiting.values()) {
      off();
      reject(error);
    }
    this.#waiting.clear();
  }

  /** Ends the worker, and with it its memory and its GPU device. */
  dispose(): Promise<void> {
    this.#end(new ClozeError('cancelled', 'The pipeline was disposed of. Open another one'));
    return Promise.resolve();
  }
}

function closed(): ClozeError {
  return new ClozeError('cancelled', 'The pipeline is not open');
}

function lost(what: string): ClozeError {
  return new ClozeError('worker_lost', `The worker ${what}. Open the pipeline again`);
}

function unreadable(): ClozeError {
  return lost('gave an answer that cannot be read. Its script must be cloze/worker of the same version');
}
