/**
 * An engine: the WebAssembly module, a device, a model loaded for a task. It runs in a worker or in the page alike.
 *
 * Calls take turns. A GPU that is lost or fails is replaced, and the call is run once more.
 */

import { onAbort, unlessAborted } from './aborts.js';
import { wasmSource } from './assets.js';
import { abortError, ClozeError, messageOf } from './errors.js';
import type { Code } from './errors.js';
import { loadModel } from './load/index.js';
import type { Loaded } from './load/index.js';
import type { Backend, Counters, Hooks, OpenRequest, State, Work } from './protocol.js';
import { SentenceSettings } from './settings.js';
import type { Metric } from './settings.js';
import { knowsUnigram, Notice } from './unigram/notice.js';
import type { CancelToken, Files, Host } from './wasm/cloze.js';

/** The Rust crate, built for some work, as the JavaScript of its WebAssembly has it. */
export interface Crate {
  init(options: { module_or_path: Response | BufferSource | WebAssembly.Module }): Promise<unknown>;
  CancelToken: typeof CancelToken;
  Files: typeof Files;
  Host: typeof Host;
  load(task: string, files: Files, host: Host, options: string): Model;
  /** The SHA-256 of the module that this JavaScript belongs to, as in HTML. */
  integrity: string;
  /** Whether models change at work: another device, which reads their files anew, could not go on. */
  learns: boolean;
  /** The crate with Unigram tokenizers, where this one has none. */
  withUnigram?(): Promise<Crate>;
}

/** A model, loaded for its work. */
interface Model {
  run(request: string, cancel: CancelToken): Promise<unknown>;
  free(): void;
}

/** Failures of a GPU that another one, or the same one opened again, may not have. */
const RETRYABLE: readonly Code[] = ['device_lost', 'gpu'];

/** What a call waits for when it gives way: a turn of the event loop, so that messages come through. */
const turn = (): Promise<void> =>
  new Promise((resolve) => {
    // What servers have. In workerd a message of one's own comes before anybody else's turn.
    const { setImmediate } = globalThis as { setImmediate?: (over: () => void) => void };
    if (setImmediate) return void setImmediate(resolve);
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });

const compiled = new Map<Crate, Promise<unknown>>();

/** Makes the module ready once for all the engines of a page or worker. A failure is tried again. */
function start(crate: Crate, module: OpenRequest['module']): Promise<unknown> {
  const before = compiled.get(crate);
  if (before) return before;
  const started = instantiate(crate, module).catch((cause: unknown) => {
    compiled.delete(crate);
    const name = typeof module === 'string' ? ` ${module}` : '';
    const problem = `The WebAssembly module${name} cannot be loaded: ${messageOf(cause)}`;
    const help =
      "Serve the package's files whole and of one version, with a content policy that lets it be fetched and compiled";
    throw new ClozeError('io', `${problem}. ${help}: connect-src 'self', script-src 'wasm-unsafe-eval'`, { cause });
  });
  compiled.set(crate, started);
  return started;
}

async function instantiate(crate: Crate, module: OpenRequest['module']): Promise<unknown> {
  return crate.init({
    module_or_path: typeof module === 'string' ? await wasmSource(module, crate.integrity) : module,
  });
}

/** What wasm throws, as the package's errors. */
function typed(error: unknown): unknown {
  if (error instanceof WebAssembly.RuntimeError) {
    const message = `The WebAssembly module stopped: ${error.message}. Its memory may have run out: reload the page`;
    return new ClozeError('memory', message, { cause: error });
  }
  if (!(error instanceof Error) || error instanceof ClozeError || error instanceof DOMException) return error;
  return 'code' in error ? new ClozeError(error.code as Code, error.message) : error;
}

function disposed(): ClozeError {
  return new ClozeError('cancelled', 'The pipeline was disposed of. Open another one');
}

function isMendable(error: unknown): boolean {
  return error instanceof ClozeError && RETRYABLE.includes(error.code);
}

/** Whether it is what follows from a wish to stop. */
function isStop(error: unknown): boolean {
  if (error instanceof ClozeError) return error.code === 'cancelled';
  return error instanceof DOMException && error.name === 'AbortError';
}

interface Opened {
  crate: Crate;
  host: Host;
  model: Model;
  state: State;
}

export class Engine implements Backend {
  readonly worker = false;
  /** As it was when the device was last opened. */
  state: State;
  #crate: Crate;
  #request: OpenRequest;
  /** Nothing between the loss of a device and the next. */
  #opened: Opened | undefined;
  #disposing: Promise<void> | undefined;
  /** Ends when the last call so far has. */
  #last: Promise<unknown> = Promise.resolve();
  /** The request that undoes a failed call, until it has worked. */
  #owed: string | undefined;
  /** Stops the call that runs, whatever it is at. */
  #stop: (() => void) | undefined;
  /** Work of devices that are gone. */
  #before: Counters = { ops: 0, submissions: 0, readbacks: 0, recoveries: 0 };

  private constructor(crate: Crate, request: OpenRequest, opened: Opened) {
    this.#crate = crate;
    this.#request = request;
    this.#opened = opened;
    this.state = opened.state;
  }

  /** Loads module, device and model. */
  static async open(crate: Crate, request: OpenRequest, hooks: Hooks): Promise<Engine> {
    return new Engine(crate, request, await open(crate, request, request.device, hooks));
  }

  /** Does what is asked for once all that was asked for before is done. */
  perform(work: Work, signal?: AbortSignal): Promise<unknown> {
    if (this.#disposing) return Promise.reject(disposed());
    if (work.kind === 'counters') return Promise.resolve(this.#counters());
    const waiting = this.#last;
    // Calls too short to give way, or run by a clock that stands still, as at the edge, must not shut out all else.
    const call = unlessAborted(waiting, signal)
      .then(turn)
      .then(() => (this.#owed === undefined ? undefined : this.#undo(this.#owed)))
      .then(() => this.#attempt(work.request, signal));
    // Who comes next waits for both: a call that is aborted in the queue ends before those ahead of it.
    // Their results are dropped: each would hold those of all calls before it.
    this.#last = Promise.allSettled([waiting, call]).then(async ([, { status }]) => {
      const { undo } = work;
      if (status === 'rejected' && undo !== undefined) await this.#undo(undo).catch(() => {});
    });
    // Whether work that has an undo was done is for the caller to know: only its own end tells.
    return work.undo === undefined ? unlessAborted(call, signal) : call;
  }

  /** Undoes a call that failed. Until that has worked, no other call runs: it would build on what the failed one left. */
  async #undo(request: string): Promise<void> {
    this.#owed = request;
    await this.#attempt(request);
    this.#owed = undefined;
  }

  async #attempt(request: string, signal?: AbortSignal): Promise<unknown> {
    try {
      return await this.#once(request, signal);
    } catch (error) {
      const isMended = isMendable(error) && !this.#crate.learns;
      if (!isMended || !this.#opened || this.state.device !== 'webgpu') throw error;
      this.#close();
      this.#before.recoveries += 1;
      return this.#once(request, signal);
    }
  }

  async #once(request: string, signal?: AbortSignal): Promise<unknown> {
    if (this.#disposing) throw disposed();
    if (signal?.aborted) throw abortError(signal);
    const stopping = new AbortController();
    const stop = (this.#stop = (): void => stopping.abort());
    const off = onAbort(signal, stop);
    try {
      const { crate, model } = (this.#opened ??= await this.#reopen(stopping.signal));
      const cancel = new crate.CancelToken();
      const onStop = (): void => cancel.cancel();
      stopping.signal.addEventListener('abort', onStop);
      try {
        return await model.run(request, cancel);
      } finally {
        stopping.signal.removeEventListener('abort', onStop);
        cancel.free();
      }
    } catch (thrown) {
      const error = typed(thrown);
      if (!stopping.signal.aborted || !isStop(error)) throw error;
      throw signal?.aborted ? abortError(signal) : disposed();
    } finally {
      off();
      this.#stop = undefined;
    }
  }

  /** Opens a device and reads the model once more; where the GPU stays away, `auto` goes on without it. */
  async #reopen(signal: AbortSignal): Promise<Opened> {
    const hooks = { signal };
    const { device } = this.#request;
    const opened = await open(this.#crate, this.#request, device, hooks).catch((error: unknown) => {
      if (device !== 'auto' || !isMendable(error)) throw error;
      return open(this.#crate, this.#request, 'wasm', hooks);
    });
    this.state = opened.state;
    return opened;
  }

  #counters(): Counters {
    const sum = { ...this.#before };
    const now = this.#opened?.host.counters();
    if (now) {
      sum.ops += now.ops;
      sum.submissions += now.submissions;
      sum.readbacks += now.readbacks;
      now.free();
    }
    return sum;
  }

  #close(): void {
    this.#before = this.#counters();
    this.#opened?.model.free();
    this.#opened?.host.free();
    this.#opened = undefined;
  }

  /** Stops what runs, and frees the device and the model's memory. */
  dispose(): Promise<void> {
    this.#disposing ??= this.#last.then(() => this.#close());
    this.#stop?.();
    return this.#disposing;
  }
}

/** Ends a load: the model has a Unigram tokenizer, which the module does not know. */
class NeedsUnigram extends Error {}

/** A device and a model on it, of the crate that knows the model's tokenizer. */
async function open(crate: Crate, request: OpenRequest, device: OpenRequest['device'], hooks: Hooks): Promise<Opened> {
  const { module, unigram } = request;
  if (crate.learns) {
    return openBy(crate, request, device, hooks, new Notice()).catch((error: unknown) => {
      if (!(error instanceof NeedsUnigram)) throw error;
      const problem = 'tokenizer.json: a model with a Unigram tokenizer cannot be trained in JavaScript';
      throw new ClozeError('unsupported', `${problem}. Train it with the command cloze train`, { cause: error });
    });
  }
  if (!crate.withUnigram) return openBy(crate, request, device, hooks);
  const other = (): Promise<Crate> =>
    crate.withUnigram!().catch((cause: unknown) => {
      const problem = `The engine for Unigram tokenizers cannot be loaded: ${messageOf(cause)}`;
      throw new ClozeError('io', `${problem}. Serve the package's files whole`, { cause });
    });
  if (typeof module !== 'string' && knowsUnigram(module)) return openBy(await other(), request, device, hooks);
  const notice = typeof module === 'string' && unigram !== undefined ? new Notice() : undefined;
  try {
    return await openBy(crate, request, device, hooks, notice);
  } catch (error) {
    if (!(error instanceof NeedsUnigram) || unigram === undefined) throw error;
    return openBy(await other(), { ...request, module: unigram }, device, hooks);
  }
}

async function openBy(
  crate: Crate,
  request: OpenRequest,
  device: OpenRequest['device'],
  hooks: Hooks,
  notice?: Notice,
): Promise<Opened> {
  const { signal, onProgress } = hooks;
  if (signal?.aborted) throw abortError(signal);
  await start(crate, request.module);
  const files = new crate.Files();
  const settings = new SentenceSettings();
  // Where this module may not know the tokenizer, another one reads its file again.
  const isForAnother = (file: string): boolean => !!crate.withUnigram && !!notice?.watches(file);
  const failed = new AbortController();
  let stop = (): void => {};
  const stopped = new Promise<never>((_, reject) => {
    stop = () => {
      failed.abort(abortError(signal));
      reject(abortError(signal));
    };
  });
  const off = onAbort(signal, stop);
  // The device is opened and tested while the model comes.
  const hosting = crate.Host.open(device, turn);
  const loading = loadModel(
    request.model,
    {
      ...request.load,
      signal: failed.signal,
      ...(onProgress && { onProgress }),
      ...(notice && {
        onFile: () => {
          if (notice.found) throw new NeedsUnigram();
        },
      }),
    },
    (file) => ({
      begin: (size) => {
        settings.begin(file);
        // No room is taken ahead for what this module may not need.
        files.begin(file, isForAnother(file) ? undefined : size);
      },
      write: (chunk) => {
        notice?.see(file, chunk);
        settings.write(file, chunk);
        if (notice?.found && isForAnother(file)) files.skim(file);
        files.write(file, chunk);
      },
      digest: () => files.digest(file),
    }),
  );
  let taken = false;
  try {
    const [host, loaded] = await Promise.race([Promise.all([hosting, loading]), stopped]);
    files.retain(loaded.files);
    taken = true;
    const model = crate.load(request.task, files, host, request.options);
    return { crate, host, model, state: stateOf(host, loaded, settings.similarity) };
  } catch (error) {
    // What still runs is stopped, and frees what it has when it ends.
    failed.abort();
    void hosting.then(
      (host) => host.free(),
      () => {},
    );
    if (!taken) void loading.catch(() => {}).then(() => files.free());
    throw typed(error);
  } finally {
    off();
  }
}

function stateOf(host: Host, { name, revision, files, cached }: Loaded, similarity: Metric | undefined): State {
  const model = { name, files, cached, ...(revision !== undefined && { revision }), ...(similarity && { similarity }) };
  return { device: host.device as State['device'], reason: host.reason, adapter: host.name, model };
}
