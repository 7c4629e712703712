/** `pipeline`: from a task and options to a function that does it. */

import { defaultModel, moduleAddress } from './assets.js';
import { abortError, clip, ClozeError, messageOf } from './errors.js';
import { normalise, signalOf, wrong } from './options.js';
import type { Table } from './options.js';
import { pathOf } from './load/names.js';
import type { GiveFile, ModelSpec, Progress } from './load/index.js';
import type { Backend, Hooks, OpenRequest, State } from './protocol.js';
import { NoWorker, RemoteEngine } from './remote.js';
import { results, taskNamed, TASKS } from './tasks.js';
import type { Entry } from './tasks.js';
import type { PipelineOptions, Ready, Task, Tasks, TokenFeatures, TransformersLoadNames } from './types.js';

const LOAD: Table = {
  model: { kind: 'any' },
  device: { kind: 'string' },
  worker: { kind: 'any' },
  onProgress: { kind: 'any', also: ['progress_callback'] },
  signal: { kind: 'any' },
  revision: { kind: 'string' },
  hub: { kind: 'string' },
  token: { kind: 'string' },
  offline: { kind: 'boolean', also: ['local_files_only'] },
  cache: { kind: 'boolean' },
  integrity: { kind: 'record' },
  module: { kind: 'any' },
};

type LoadOptions = PipelineOptions & TransformersLoadNames;

export function pipeline(
  task: 'feature-extraction', options: LoadOptions & { pooling: 'none' },
): Promise<TokenFeatures>;
export function pipeline(
  task: 'feature-extraction', options?: LoadOptions & { pooling?: Exclude<import('./types.js').Pooling, 'none'> },
): Promise<Tasks['feature-extraction']>;
export function pipeline<T extends Task>(task: T, options?: LoadOptions): Promise<Tasks[T]>;
export function pipeline<T extends Task>(
  task: T, model: NonNullable<PipelineOptions['model']>, options?: LoadOptions,
): Promise<Tasks[T]>;
/**
 * Loads a model for a task. Resolves to a function that does the task.
 *
 * @throws ClozeError (as a rejection) whose `code` says what is wrong; an `AbortError` if the signal is aborted.
 */
export async function pipeline(named: Task, second?: unknown, third?: unknown): Promise<unknown> {
  const task = taskNamed(String(named));
  const known = Object.keys(TASKS).join(', ');
  if (!task) throw wrong('task', `there is no task '${clip(String(named))}'`, `Use one of ${known}`);
  const entry: Entry = TASKS[task];
  const [model, given] = isModel(second) || third !== undefined ? [second ?? undefined, third] : [undefined, second];
  const options = normalise(given, { ...LOAD, ...entry.load }, `pipeline('${task}')`);
  const { signal: stop, onProgress, worker, device = 'auto', model: wanted = model, module, ...others } = options;
  const signal = signalOf(stop);
  if (model !== undefined && wanted !== model) throw wrong('model', 'it is given twice', 'Give it once');
  if (onProgress !== undefined && typeof onProgress !== 'function') {
    throw wrong('onProgress', 'it is no function', 'Give one');
  }
  if (wanted === undefined && task !== 'question-answering') {
    throw wrong('model', `the package has no model for ${task}`, 'Give a Hub id, an address, or files');
  }
  if (module !== undefined && !(module instanceof WebAssembly.Module)) {
    throw wrong('module', 'it is no WebAssembly.Module', 'Give what importing cloze/cloze.wasm gives');
  }
  const own: Record<string, unknown> = {};
  for (const name of Object.keys(entry.load)) {
    own[name] = others[name];
    delete others[name];
  }
  const request: OpenRequest = {
    task,
    device: device as OpenRequest['device'],
    model: wanted === undefined ? defaultModel() : sendable(wanted),
    load: others,
    options: JSON.stringify(own),
    module: module ?? moduleAddress(),
  };
  const tell = onProgress as ((progress: Progress | Ready) => void) | undefined;
  const quiet = tell && ((progress: Progress | Ready): void => {
    // What listens must not break what it listens to.
    try { tell(progress); } catch (error) { globalThis.reportError?.(error); }
  });
  const backend = await open(worker ?? typeof wanted !== 'function', request, { signal, onProgress: quiet });
  quiet?.({ status: 'ready', task, name: backend.state.model.name });
  return callable(backend, entry);
}

function isModel(value: unknown): boolean {
  return typeof value === 'string' || typeof value === 'function' || value instanceof URL || Array.isArray(value)
    || (typeof FileList !== 'undefined' && value instanceof FileList);
}

/** A model as it can be sent to a worker, which has another address than its page. */
function sendable(model: unknown): ModelSpec {
  if (model instanceof URL) return model.href;
  if (typeof model === 'function') return model as GiveFile;
  if (typeof model !== 'string') {
    const files = isModel(model) ? Array.from(model as ArrayLike<unknown>) : [undefined];
    if (files.every((file) => file instanceof File)) return files.map((file) => ({ path: pathOf(file), file }));
    throw wrong('model', 'it is no name, address, list of files, or function that gives them', 'Give one of them');
  }
  const isAddress = /^(\.{0,2}\/|[a-z][a-z0-9+.-]*:)/i.test(model);
  if (!isAddress || typeof document === 'undefined') return model;
  try {
    return new URL(model, document.baseURI).href;
  } catch {
    throw wrong('model', `${clip(model)} is no address`, 'Give one, or a Hub id such as owner/name');
  }
}

async function open(wanted: unknown, request: OpenRequest, hooks: Hooks): Promise<Backend> {
  if (hooks.signal?.aborted) throw abortError(hooks.signal);
  if (typeof wanted !== 'boolean' && typeof wanted !== 'function') {
    throw wrong('worker', 'it is neither a boolean nor a function that makes a worker', 'Give one of them');
  }
  if (wanted !== false && typeof request.model === 'function') {
    throw wrong('worker', 'a function that gives files cannot be sent to one', 'Leave it out, or load in a worker of yours');
  }
  if (wanted !== false && typeof Worker !== 'undefined') {
    try {
      const started = typeof wanted === 'function'
        ? made(wanted as () => unknown)
        : new Worker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'cloze' });
      return await RemoteEngine.open(started, request, hooks);
    } catch (error) {
      // A page whose policy, or whose host, allows no such worker does the work itself.
      const isRefused = error instanceof DOMException && error.name === 'SecurityError';
      if (!isRefused && !(error instanceof NoWorker)) throw error;
      if (typeof wanted === 'function') {
        throw new ClozeError('io', `The worker does not start: ${messageOf(error)}. See to its script`);
      }
    }
  }
  const { Engine } = await import('./engine.js').catch((cause: unknown) => {
    const problem = `The engine cannot be loaded: ${messageOf(cause)}`;
    throw new ClozeError('io', `${problem}. Serve the package's files whole`, { cause });
  });
  return Engine.open(request, hooks);
}

/** The worker that the caller's function makes. */
function made(make: () => unknown): Worker {
  const worker = make() as Partial<Worker> | null | undefined;
  if (typeof worker?.postMessage === 'function' && typeof worker.terminate === 'function') return worker as Worker;
  throw wrong('worker', 'its function returns no worker', 'Return one that imports cloze/worker');
}

function callable(backend: Backend, { prepare, also = {} }: Entry): unknown {
  type Prepare = Entry['prepare'];
  const calling = (prepare: Prepare) => async (...args: unknown[]): Promise<unknown> => {
    const prepared = prepare(...args);
    return results(prepared, await backend.perform({ kind: 'run', request: prepared.request }, prepared.signal));
  };
  const others = Object.entries(also).map(([name, one]) => [name, { value: calling(one), enumerable: true }]);
  let disposing: Promise<void> | undefined;
  const dispose = (): Promise<void> => (disposing ??= backend.dispose());
  const state = (key: keyof State): PropertyDescriptor => ({ get: () => backend.state[key], enumerable: true });
  return Object.defineProperties(calling(prepare), {
    ...(Object.fromEntries(others) as PropertyDescriptorMap),
    device: state('device'),
    reason: state('reason'),
    adapter: state('adapter'),
    model: state('model'),
    worker: { value: backend.worker, enumerable: true },
    counters: { value: () => backend.perform({ kind: 'counters' }), enumerable: true },
    dispose: { value: dispose, enumerable: true },
  });
}
