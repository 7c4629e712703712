/**
 * Models in the browser's Cache API, file by file, each in parts.
 *
 * A part is an entry of its own, so that a download that broke off goes on from those that are there, on this page or the
 * next. Its key names the contents it is a part of (a digest or a validator), so that two loads at once write the same
 * bytes under the same key, and never mix two versions. A file counts as there once its `Entry` is; a model can be had
 * without the network once its `Record` is, which names all its files and their digests.
 *
 * Where the Cache API is missing or refuses (a private window, an insecure page, Node), there is no shelf, and models are
 * loaded into memory alone.
 */

import type { CachedModel } from './types.js';

const CACHE = 'cloze-models-v1';

/** Never fetched: the Cache API wants addresses as keys. */
const ROOT = 'https://cloze.invalid/';

/** Bytes of every part but a file's last. */
export const PART = 4 << 20;

/** A file that is there whole. */
export interface Entry {
  size: number;
  sha256: string;
  /** Which contents its parts belong to. */
  identity: string;
  etag?: string;
  modified?: string;
}

/** A model that is there whole: its files and their digests. */
export interface ModelRecord {
  files: Record<string, string>;
}

/** What a branch or tag of the Hub stood for, and what files there were. */
export interface Ref {
  commit: string;
  files: Record<string, { size: number; sha256?: string }>;
}

/** One model, at one revision, in the cache. */
export class Shelf {
  private constructor(private readonly cache: Cache, readonly kind: string, readonly name: string,
    readonly revision: string) {}

  static async open(kind: string, name: string, revision: string): Promise<Shelf | undefined> {
    const cache = await quietly(() => globalThis.caches?.open(CACHE));
    return cache && new Shelf(cache, kind, name, revision);
  }

  entry(file: string): Promise<Entry | undefined> {
    return readJson<Entry>(this.cache, this.key(file, 'meta'));
  }

  record(): Promise<ModelRecord | undefined> {
    return readJson<ModelRecord>(this.cache, this.key('', 'record'));
  }

  async setRecord(record: ModelRecord): Promise<boolean> {
    return (await quietly(() => putJson(this.cache, this.key('', 'record'), record))) === true;
  }

  /** The bytes of a file that is there whole, part by part; fewer of them where the cache was damaged. */
  async *bytes(file: string, entry: Entry): AsyncGenerator<Uint8Array> {
    const parts = Math.ceil(entry.size / PART);
    const read = (part: number) => (part < parts ? this.part(file, entry.identity, part) : undefined);
    let next = read(0);
    for (let part = 0; next !== undefined; part++) {
      const bytes = await next;
      if (bytes === undefined) return;
      next = read(part + 1);
      yield bytes;
    }
  }

  /** Of which contents there are parts, and how long the whole of each is, where that was known. */
  async runs(file: string): Promise<Map<string, number | undefined>> {
    const runs = new Map<string, number | undefined>();
    for (const identity of new Set((await this.parts(file)).map((part) => part.identity))) {
      const first = await quietly(() => this.cache.match(this.key(file, identity, 0)));
      const total = Number(first?.headers.get('x-total') ?? NaN);
      if (first) runs.set(identity, Number.isSafeInteger(total) ? total : undefined);
    }
    return runs;
  }

  /** The beginning of a file whose download broke off, part by part; only the last is shorter than `PART`. */
  async *kept(file: string, identity: string): AsyncGenerator<Uint8Array> {
    for (let part = 0; ; part++) {
      const bytes = await this.part(file, identity, part);
      if (bytes === undefined || bytes.length === 0 || bytes.length > PART) return;
      yield bytes;
      if (bytes.length < PART) return;
    }
  }

  writer(file: string, identity: string, total: number | undefined): Writer {
    const put = async (part: number, bytes: Uint8Array<ArrayBuffer>) => {
      const headers = new Headers({ 'content-length': String(bytes.length), 'x-date': new Date().toISOString() });
      if (total !== undefined) headers.set('x-total', String(total));
      await this.cache.put(this.key(file, identity, part), new Response(bytes, { headers }));
    };
    return new Writer(put, total);
  }

  /** Says that a file is there whole, and drops what other contents it had. False if the cache refuses. */
  async settle(file: string, entry: Entry): Promise<boolean> {
    if (!(await quietly(() => putJson(this.cache, this.key(file, 'meta'), entry)))) return false;
    const last = Math.ceil(entry.size / PART);
    for (const { key, identity, part } of await this.parts(file)) {
      if (identity !== entry.identity || part >= last) await quietly(() => this.cache.delete(key));
    }
    return true;
  }

  /** Drops a file; with an identity, only the parts of those contents. */
  async drop(file: string, identity?: string): Promise<void> {
    if (identity === undefined) await quietly(() => this.cache.delete(this.key(file, 'meta')));
    for (const part of await this.parts(file)) {
      if (identity === undefined || part.identity === identity) await quietly(() => this.cache.delete(part.key));
    }
  }

  /** Drops this model's other revisions. */
  async dropOthers(): Promise<void> {
    for (const key of (await quietly(() => this.cache.keys())) ?? []) {
      const at = parseKey(key.url);
      if (at?.kind !== this.kind || at.name !== this.name || at.revision === this.revision) continue;
      await quietly(() => this.cache.delete(key));
    }
  }

  private async part(file: string, identity: string, part: number): Promise<Uint8Array | undefined> {
    const buffer = await quietly(async () => (await this.cache.match(this.key(file, identity, part)))?.arrayBuffer());
    return buffer && new Uint8Array(buffer);
  }

  private async parts(file: string): Promise<{ key: Request; identity: string; part: number }[]> {
    const keys = await quietly(() => this.cache.keys(this.key(file, 'meta'), { ignoreSearch: true }));
    return (keys ?? []).flatMap((key) => {
      const query = new URL(key.url).searchParams;
      const [identity, part] = [query.get('of'), query.get('part')];
      return identity !== null && part !== null ? [{ key, identity, part: Number(part) }] : [];
    });
  }

  private key(file: string, what: string, part?: number): string {
    const base = address(this.kind, this.name, this.revision, file);
    return part === undefined ? `${base}?${what}` : `${base}?of=${encodeURIComponent(what)}&part=${part}`;
  }
}

/** Cuts a file into parts and puts them into the cache, one while the next is filled. */
export class Writer {
  private buffer: Uint8Array<ArrayBuffer>;
  private filled = 0;
  private part = 0;
  private pending: Promise<void> = Promise.resolve();
  /** Why the cache takes no more. */
  refusal: unknown;

  constructor(private readonly put: (part: number, bytes: Uint8Array<ArrayBuffer>) => Promise<void>,
    total: number | undefined) {
    this.buffer = new Uint8Array(Math.min(PART, total ?? PART));
  }

  /** Takes a part that the cache has already. */
  skip(bytes: Uint8Array): void {
    if (bytes.length === PART) {
      this.part += 1;
      return;
    }
    if (bytes.length > this.buffer.length) this.widen();
    this.buffer.set(bytes);
    this.filled = bytes.length;
  }

  async write(chunk: Uint8Array): Promise<void> {
    for (let at = 0; at < chunk.length && this.refusal === undefined;) {
      if (this.filled === this.buffer.length) this.widen();
      const piece = chunk.subarray(at, at + this.buffer.length - this.filled);
      this.buffer.set(piece, this.filled);
      this.filled += piece.length;
      at += piece.length;
      if (this.filled === PART) await this.flush(true);
    }
  }

  /** Puts what is left; false if the cache does not have all of it. */
  async finish(): Promise<boolean> {
    if (this.filled > 0) await this.flush(false);
    await this.pending;
    return this.refusal === undefined;
  }

  /** When no part is on its way any more. */
  settled(): Promise<void> {
    return this.pending;
  }

  /** A total can be wrong: then a part is longer than was thought. */
  private widen(): void {
    const wider = new Uint8Array(PART);
    wider.set(this.buffer);
    this.buffer = wider;
  }

  private async flush(next: boolean): Promise<void> {
    await this.pending;
    if (this.refusal !== undefined) return;
    const bytes = this.buffer.slice(0, this.filled);
    this.pending = this.put(this.part, bytes).catch((error: unknown) => {
      this.refusal = error ?? 'refused';
    });
    if (!next) return;
    this.part += 1;
    this.filled = 0;
  }
}

/** A branch or tag of the Hub as it was last seen. */
export async function readRef(name: string, revision: string): Promise<Ref | undefined> {
  const cache = await quietly(() => globalThis.caches?.open(CACHE));
  return cache && readJson<Ref>(cache, `${address('hub', name, revision, '')}?ref`);
}

export async function writeRef(name: string, revision: string, ref: Ref): Promise<void> {
  const cache = await quietly(() => globalThis.caches?.open(CACHE));
  if (cache) await quietly(() => putJson(cache, `${address('hub', name, revision, '')}?ref`, ref));
}

/** Drops a model from the cache, in all revisions unless one is given; false if there was none. */
export async function deleteModel(name: string, revision?: string): Promise<boolean> {
  let found = false;
  const cache = await openExisting();
  for (const key of (await quietly(() => cache?.keys())) ?? []) {
    const at = parseKey(key.url);
    if (at?.name !== name || (revision !== undefined && at.revision !== revision)) continue;
    found = (await quietly(() => cache?.delete(key))) === true || found;
  }
  return found;
}

/** Drops all models from the cache; false if there were none. */
export async function deleteModels(): Promise<boolean> {
  return (await quietly(() => globalThis.caches?.delete(CACHE))) === true;
}

/** The models in the cache, those that are there in part included; none where there is no cache. */
export async function listModels(): Promise<CachedModel[]> {
  const cache = await openExisting();
  if (!cache) return [];
  const models = new Map<string, CachedModel>();
  for (const key of (await quietly(() => cache.keys())) ?? []) {
    const at = parseKey(key.url);
    const query = new URL(key.url).searchParams;
    if (!at || query.has('ref') || query.has('meta')) continue;
    const id = address(at.kind, at.name, at.revision, '');
    const model = models.get(id) ?? { name: at.name, bytes: 0, complete: false };
    models.set(id, model);
    if (at.revision) model.revision = at.revision;
    const headers = (await quietly(() => cache.match(key)))?.headers;
    const date = headers?.get('x-date') ?? undefined;
    if (date !== undefined && date > (model.date ?? '')) model.date = date;
    if (query.has('record')) model.complete = true;
    else model.bytes += Number(headers?.get('content-length') ?? 0) || 0;
  }
  return [...models.values()];
}

/** A look must not make a cache. */
function openExisting(): Promise<Cache | undefined> {
  return quietly(async () => ((await globalThis.caches?.has(CACHE)) ? globalThis.caches.open(CACHE) : undefined));
}

/** Letters before name and revision keep `.` and the empty word from being steps of a path. */
function address(kind: string, name: string, revision: string, file: string): string {
  return `${ROOT}${kind}/n${encodeURIComponent(name)}/r${encodeURIComponent(revision)}/${encodeURIComponent(file)}`;
}

function parseKey(url: string): { kind: string; name: string; revision: string } | undefined {
  if (!url.startsWith(ROOT)) return undefined;
  const [kind, name, revision] = new URL(url).pathname.slice(1).split('/');
  if (!kind || !name || !revision) return undefined;
  return { kind, name: decodeURIComponent(name.slice(1)), revision: decodeURIComponent(revision.slice(1)) };
}

async function putJson(cache: Cache, key: string, value: unknown): Promise<true> {
  const headers = { 'content-type': 'application/json', 'x-date': new Date().toISOString() };
  await cache.put(key, new Response(JSON.stringify(value), { headers }));
  return true;
}

function readJson<T>(cache: Cache, key: string): Promise<T | undefined> {
  return quietly(async () => (await cache.match(key))?.json() as Promise<T | undefined>);
}

/** What a cache that fails holds is as good as absent. */
async function quietly<T>(work: () => T | Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch {
    return undefined;
  }
}
