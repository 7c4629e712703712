/** From the options of loading to an engine, in a worker or in the page. */

import { abortError, clip, ClozeError, messageOf } from './errors.js';
import { json } from './inputs.js';
import { normalise, signalOf, wrong } from './options.js';
import type { Table } from './options.js';
import { baseAddress, isAddress, pathOf } from './load/names.js';
import { onDisk } from './load/node.js';
import type { GiveFile, Manifest, ModelSpec, Progress } from './load/index.js';
import type { Backend, Hooks, OpenEngine, OpenRequest, State } from './protocol.js';
import { NoWorker, RemoteEngine } from './remote.js';
import type { Ready } from './types.js';

/** Where the engines for some work come from. Addresses and imports stand where bundlers see them. */
export interface Engines {
  /** What imports the module and the worker's script. */
  names: { module: string; worker: string };
  /** The address of their WebAssembly. */
  module(): string;
  /** The same of the module with Unigram tokenizers, if `module` has none. */
  unigram?(): string;
  worker(): Worker;
  here(): Promise<{ open: OpenEngine }>;
  /** The package's model for a task, if it has one. */
  model?(task: string): Manifest | undefined;
}

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

/** What is loaded, and by which options beside those that every load has. */
interface Wanted {
  task: string;
  /** What errors call it. */
  what: string;
  own: Table;
}

/** Opens an engine by the arguments of a call: `(options)`, or `(model, options)`. */
export async function openEngine(
  engines: Engines,
  { task, what, own }: Wanted,
  second: unknown,
  third: unknown,
): Promise<Backend> {
  const [model, given] = isModel(second) || third !== undefined ? [second ?? undefined, third] : [undefined, second];
  const options = normalise(given, { ...LOAD, ...own }, what);
  const { signal: stop, onProgress, worker, device = 'auto', model: wanted = model, module, ...others } = options;
  const signal = signalOf(stop);
  if (model !== undefined && wanted !== model) throw wrong('model', 'it is given twice', 'Give it once');
  if (onProgress !== undefined && typeof onProgress !== 'function') {
    throw wrong('onProgress', 'it is no function', 'Give one');
  }
  const spec = wanted === undefined ? engines.model?.(task) : sendable(wanted, others);
  if (spec === undefined) {
    const none = engines.model ? `the package has no model for ${task}` : 'there is none';
    throw wrong('model', none, 'Give a Hub id, an address, or files');
  }
  if (module !== undefined && !(module instanceof WebAssembly.Module)) {
    throw wrong('module', 'it is no WebAssembly.Module', `Give what importing ${engines.names.module} gives`);
  }
  const fixed: Record<string, unknown> = {};
  for (const name of Object.keys(own)) {
    fixed[name] = others[name];
    delete others[name];
  }
  const request: OpenRequest = {
    task,
    device: device as OpenRequest['device'],
    model: spec,
    load: others,
    options: json(fixed),
    module: module ?? engines.module(),
    ...(module === undefined && engines.unigram && { unigram: engines.unigram() }),
  };
  const tell = onProgress as ((progress: Progress | Ready) => void) | undefined;
  const quiet =
    tell &&
    ((progress: Progress | Ready): void => {
      // What listens must not break what it listens to.
      try {
        tell(progress);
      } catch (error) {
        globalThis.reportError?.(error);
      }
    });
  const hooks = { signal, onProgress: quiet };
  const backend = await open(engines, worker ?? typeof wanted !== 'function', request, hooks);
  quiet?.({ status: 'ready', task, name: backend.state.model.name });
  return backend;
}

/** What every handle of an engine has. */
export function handle(backend: Backend): PropertyDescriptorMap {
  let disposing: Promise<void> | undefined;
  const dispose = (): Promise<void> => (disposing ??= backend.dispose());
  const state = (key: keyof State): PropertyDescriptor => ({ get: () => backend.state[key], enumerable: true });
  return {
    device: state('device'),
    reason: state('reason'),
    adapter: state('adapter'),
    model: state('model'),
    worker: { value: backend.worker, enumerable: true },
    counters: { value: () => backend.perform({ kind: 'counters' }), enumerable: true },
    dispose: { value: dispose, enumerable: true },
  };
}

export function isModel(value: unknown): boolean {
  return (
    typeof value === 'string' ||
    typeof value === 'function' ||
    value instanceof URL ||
    Array.isArray(value) ||
    (typeof FileList !== 'undefined' && value instanceof FileList)
  );
}

/** What is never a Hub id, and so a path where there is a disk: it begins with `.`, `/`, `~` or a drive, or has backslashes. */
const PATH = /^([./~]|[a-z]:)|\\/i;

/** A model as it can be sent to a worker, which has another address than its page. */
function sendable(model: unknown, { hub, token }: Record<string, unknown>): ModelSpec {
  if (model instanceof URL) return model.href;
  if (typeof model === 'function') return model as GiveFile;
  if (typeof model !== 'string') {
    const files = isModel(model) ? Array.from(model as ArrayLike<unknown>) : [undefined];
    if (files.every((file) => file instanceof File)) return files.map((file) => ({ path: pathOf(file), file }));
    throw wrong('model', 'it is no name, address, list of files, or function that gives them', 'Give one of them');
  }
  const directory = directoryOf(model, (hub ?? token) !== undefined);
  if (directory !== undefined) return directory;
  if (!isAddress(model)) return model;
  try {
    return new URL(model, baseAddress()).href;
  } catch {
    throw wrong(
      'model',
      `${clip(model)} is no address`,
      'Give one, a Hub id such as owner/name, or a function that gives the files',
    );
  }
}

/**
 * The `file:` address of the directory that a text names, where there is a disk. A directory goes before a model of the
 * Hub with the same name, as on the command line and in Python, unless an option says that the Hub is meant.
 */
function directoryOf(model: string, onHub: boolean): string | undefined {
  const path = model.replace(/^file:(?!\/)/i, './');
  // A letter and a colon are a drive.
  if (/^[a-z][a-z0-9+.-]+:/i.test(path)) return undefined;
  const isPath = PATH.test(path);
  const isHubId = !isPath && path.replace(/@.*/s, '').split('/').length === 2;
  const found = isHubId && onHub ? undefined : onDisk(path);
  if (!found || found.directory !== undefined || isHubId) return found?.directory;
  const problem = `${clip(found.problem, 300)}${isPath ? '' : ', and it is no name on the Hub'}`;
  throw wrong(
    'model',
    problem,
    'Give the path or file: address of a directory, an https address, or a Hub id such as owner/name',
  );
}

async function open(engines: Engines, wanted: unknown, request: OpenRequest, hooks: Hooks): Promise<Backend> {
  if (hooks.signal?.aborted) throw abortError(hooks.signal);
  if (typeof wanted !== 'boolean' && typeof wanted !== 'function') {
    throw wrong('worker', 'it is neither a boolean nor a function that makes a worker', 'Give one of them');
  }
  if (wanted !== false && typeof request.model === 'function') {
    throw wrong(
      'worker',
      'a function that gives files cannot be sent to one',
      'Leave it out, or load in a worker of yours',
    );
  }
  if (wanted !== false && typeof Worker !== 'undefined') {
    try {
      const started =
        typeof wanted === 'function' ? made(wanted as () => unknown, engines.names.worker) : engines.worker();
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
  const { open } = await engines.here().catch((cause: unknown) => {
    const problem = `The engine cannot be loaded: ${messageOf(cause)}`;
    throw new ClozeError('io', `${problem}. Serve the package's files whole`, { cause });
  });
  return open(request, hooks);
}

/** The worker that the caller's function makes. */
function made(make: () => unknown, script: string): Worker {
  const worker = make() as Partial<Worker> | null | undefined;
  if (typeof worker?.postMessage === 'function' && typeof worker.terminate === 'function') return worker as Worker;
  throw wrong('worker', 'its function returns no worker', `Return one that imports ${script}`);
}
