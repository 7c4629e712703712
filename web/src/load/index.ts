/**
 * Loads a model's files into sinks: from the Hugging Face Hub, an address, the package or the visitor's disk, by way of
 * the browser's cache.
 */

import { abortError, ClozeError } from '../errors.js';
import { Shelf } from './cache.js';
import { givenSource } from './given.js';
import { Hub, hubPage } from './hub.js';
import { Load, type Setting } from './load.js';
import { baseAddress, isAddress, parseHubId, parseIntegrity } from './names.js';
import { pickedSource } from './picked.js';
import { shippedSource, siteSource } from './site.js';
import { NotCached, Unreachable, type Source } from './source.js';
import type { Loaded, LoadOptions, Manifest, ModelSpec, OpenSink } from './types.js';

export { deleteModel, deleteModels, listModels } from './cache.js';
export type * from './types.js';

/** A model before its source is asked. */
interface Target {
  /** Whether its contents can never change, so that a cached copy is as good as any. */
  fixed: boolean;
  now(signal: AbortSignal): Promise<Source>;
  /** Without the network; nothing if too little is known. */
  then(): Promise<Source | undefined>;
  unknown(): ClozeError;
}

/**
 * Loads `model`: each of its files goes to the sink that `open` gives for it.
 *
 * What the cache holds is taken from there: of a branch of the Hub after one request for its commit, of an address
 * after one request a file, and of a commit, an address with a `revision`, or a manifest without any. Where the network
 * fails, the cached model will do, and `stale` says so. Only the files that `Loaded` lists belong to the model; a sink
 * that was opened for another is to be dropped. Of a manifest, all files are loaded.
 *
 * Rejects with an AbortError when `options.signal` is aborted, and otherwise with a `ClozeError`: `option` for a
 * `model` or option that cannot be used; of the Hub, `hub_not_found`, `hub_no_access`, `hub_not_cached`, `hub_network`,
 * `hub_answer`; of other sources, `io` for what cannot be read and `checkpoint` for a wrong digest; `config`,
 * `tokenizer`, `checkpoint`, `unsupported` for models that cannot be used; `memory` for weights that are too large.
 * Errors of the sinks are passed on.
 */
export async function loadModel(model: ModelSpec, options: LoadOptions, open: OpenSink): Promise<Loaded> {
  const { signal, offline = false } = options;
  if (signal?.aborted) throw abortError(signal);
  const target = targetOf(model, options);
  const setting: Setting = { options, integrity: parseIntegrity(options.integrity), open, sinks: new Map(), offline };
  const cached = () => fromCache(target, { ...setting, offline: true });
  if (offline) return cached();
  if (target.fixed && options.cache !== false) {
    const loaded = await cached().catch((error: unknown) => {
      if (!(error instanceof NotCached)) throw error;
    });
    if (loaded) return loaded;
  }
  try {
    return await load(await target.now(signal ?? new AbortController().signal), setting);
  } catch (error) {
    if (signal?.aborted) throw abortError(signal);
    if (!(error instanceof Unreachable) || options.cache === false) throw error;
    const loaded = await cached().catch((other: unknown) => {
      throw other instanceof NotCached ? error : other;
    });
    return { ...loaded, stale: true };
  }
}

async function fromCache(target: Target, setting: Setting): Promise<Loaded> {
  const source = await target.then();
  if (!source) throw target.unknown();
  return load(source, setting);
}

async function load(source: Source, setting: Setting): Promise<Loaded> {
  const shelf =
    source.kind === 'files' || setting.options.cache === false
      ? undefined
      : await Shelf.open(source.kind, source.name, source.revision);
  return new Load(source, shelf, setting).run();
}

function targetOf(model: ModelSpec, options: LoadOptions): Target {
  const { revision, hub, token, retries = 3, cache = true } = options;
  if (typeof model === 'string' && !isAddress(model))
    return hubTarget(new Hub(parseHubId(model, revision), hub, token));
  if (typeof model === 'string' || model instanceof URL) {
    const exists = async (url: string) => {
      try {
        const response = await fetch(url, { method: 'HEAD', ...(options.signal && { signal: options.signal }) });
        return response.ok && !/^text\/html\b/i.test(response.headers.get('content-type') ?? '');
      } catch {
        return false;
      }
    };
    const address = addressOf(model);
    const page = hubPage(address, hub);
    if (page !== undefined) return hubTarget(new Hub(parseHubId(page, revision), hub, token));
    return at(siteSource(address, revision, exists));
  }
  if (typeof model === 'function') return at(givenSource(model));
  if (typeof model === 'object' && model !== null && isManifest(model)) return at(shippedSource(model));
  if (typeof model === 'object' && model !== null && 'length' in model) return at(pickedSource(model));
  throw new ClozeError(
    'option',
    'model: it is neither a name, nor an address, nor files. Give owner/name of a model on ' +
      'the Hub, the address of a directory, the files that a visitor picked, or a function that gives them',
  );

  function hubTarget(at: Hub): Target {
    const unknown = () => at.fault('cache', '', 'the cache does not hold it, and the network is off');
    return { fixed: at.fixed, now: (signal) => at.now(signal, retries, cache), then: () => at.then(), unknown };
  }

  function at(source: Source): Target {
    const unknown = () => source.fault('cache', '', 'the cache does not hold it');
    return { fixed: source.fixed, now: async () => source, then: async () => source, unknown };
  }
}

function isManifest(model: object): model is Manifest {
  return 'files' in model && !('length' in model);
}

function addressOf(model: string | URL): URL {
  try {
    return new URL(model, baseAddress());
  } catch {
    throw new ClozeError(
      'option',
      `model: "${String(model).slice(0, 120)}" is no address. Give a whole one, such as ` +
        'https://example.org/models/minilm/',
    );
  }
}
