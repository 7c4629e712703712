/** One load: every file of a model into its sink, from the cache where it is there, else from the source. */

import { abortError, type ClozeError } from '../errors.js';
import { Shelf, type Entry, type ModelRecord } from './cache.js';
import { Intake } from './intake.js';
import { limitOf, tooLarge, walk, type Reader } from './parts.js';
import { Reporter, type FileReporter } from './progress.js';
import { Unreachable, type Fault, type Local, type Remote, type Source } from './source.js';
import { download, identityOf, isOurs, sameContents, validators, type Validators, type Want } from './transfer.js';
import type { Loaded, LoadOptions, OpenSink, Sink } from './types.js';

export interface Setting {
  options: LoadOptions;
  integrity: Map<string, string>;
  open: OpenSink;
  /** The sinks that were opened: one a file, whichever way the bytes come in the end. */
  sinks: Map<string, Sink>;
  /** Only what the cache holds. */
  offline: boolean;
}

/** A file that is in its sink. */
interface Got {
  sha256: string;
  /** A copy, where one was asked for. */
  bytes?: Uint8Array;
}

export class Load implements Reader {
  private readonly files = new Map<string, string>();
  private readonly reporter: Reporter;
  private readonly stop = new AbortController();
  private record: ModelRecord | undefined;
  private reached = false;
  /** Bytes of the shards that are there. */
  private weights = 0;
  /** Whether the cache has all files so far. */
  private cached = true;

  constructor(
    private readonly source: Source,
    private readonly shelf: Shelf | undefined,
    private readonly setting: Setting,
  ) {
    this.reporter = new Reporter(source.name, setting.options.onProgress);
  }

  get model(): string {
    return this.source.name;
  }

  /** Loads the model. Rejects with an AbortError as soon as the caller's signal says so. */
  async run(): Promise<Loaded> {
    const outer = this.setting.options.signal;
    const abort = () => this.stop.abort(outer?.reason);
    outer?.addEventListener('abort', abort, { once: true });
    try {
      this.check();
      this.record = await this.shelf?.record();
      const encoder = this.source.kind === 'shipped' ? await this.list() : await walk(this);
      return await this.finish(encoder);
    } catch (error) {
      if (outer?.aborted) throw abortError(outer);
      throw error;
    } finally {
      outer?.removeEventListener('abort', abort);
      this.stop.abort();
    }
  }

  async has(file: string): Promise<boolean> {
    return (await this.get(file, false)) !== undefined;
  }

  async read(file: string): Promise<Uint8Array | undefined> {
    return (await this.get(file, true))?.bytes;
  }

  async all(files: (() => Promise<unknown>)[]): Promise<void> {
    const failures: unknown[] = [];
    await Promise.all(
      files.map((file) =>
        file().catch((error: unknown) => {
          failures.push(error);
          this.stop.abort();
        }),
      ),
    );
    if (failures.length > 0) throw failures[0];
  }

  missing(file: string, problem: string): ClozeError {
    return this.fault('missing', file, problem);
  }

  async small(): Promise<void> {
    for (const file of this.files.keys()) {
      await this.setting.options.onFile?.(file);
      this.check();
    }
  }

  others(): Promise<string[]> {
    return this.source.others();
  }

  /** Loads all that a manifest names, the weights last. */
  private async list(): Promise<undefined> {
    const files = await this.source.others();
    const isWeights = (file: string) => file.endsWith('.safetensors');
    await this.all(files.filter((file) => !isWeights(file)).map((file) => () => this.get(file, false)));
    await this.small();
    for (const file of files.filter(isWeights)) await this.get(file, false);
  }

  private async finish(encoder: string | undefined): Promise<Loaded> {
    const { name, revision, kind } = this.source;
    const record = { files: Object.fromEntries(this.files) };
    this.cached &&= this.shelf !== undefined && (this.setting.offline || (await this.shelf.setRecord(record)));
    if (this.cached && kind === 'shipped') await this.shelf?.dropOthers();
    if (this.cached && !this.setting.offline) await this.source.settled?.();
    this.check();
    const loaded: Loaded = { name, files: [...this.files.keys()], cached: this.cached, stale: false };
    if (revision) loaded.revision = revision;
    if (encoder) loaded.encoder = encoder;
    return loaded;
  }

  private async get(file: string, copy: boolean): Promise<Got | undefined> {
    this.check();
    const pieces: Uint8Array[] = [];
    const open = () => (copy ? copying(this.sink(file), pieces) : this.sink(file));
    const got = await this.load(file, open);
    if (!got) return undefined;
    this.files.set(file, got.sha256);
    return copy ? { ...got, bytes: new Uint8Array(await new Blob(pieces as BlobPart[]).arrayBuffer()) } : got;
  }

  private async load(file: string, open: () => Sink): Promise<{ sha256: string } | undefined> {
    const found = await this.source.find(file);
    if (!found) return undefined;
    if (this.setting.offline && !('chunks' in found)) return this.fromRecord(file, open);
    const sha256 = this.setting.integrity.get(file) ?? found.sha256;
    if (found.sha256 !== undefined && found.sha256 !== sha256) {
      throw this.fault('answer', file, `its SHA-256 is ${found.sha256}, and the option integrity wants ${sha256}`);
    }
    const limit = this.limit(file);
    if (found.size !== undefined && found.size > limit) throw tooLarge(file, found.size, limit);
    if ('chunks' in found) return this.fromDisk(file, found, sha256, open);

    const report = this.reporter.file(file);
    const want = this.want(file, found, sha256);
    const entry = await this.shelf?.entry(file);
    const now = entry && !this.isSettled(entry, found, sha256) ? await this.ask(want) : undefined;
    if (now?.status === 404) {
      await this.shelf?.drop(file);
      return undefined;
    }
    const fresh = (e: Entry) =>
      this.isSettled(e, found, sha256) ||
      (sha256 === undefined && now?.status === 200 && sameContents(now, { ...e, total: e.size }));
    const isFresh = entry !== undefined && fresh(entry);
    if (isFresh && (await this.fromShelf(file, entry, open, report))) return entry;
    return this.locked(file, async () => {
      // Another page may have fetched it while this one waited.
      const later = await this.shelf?.entry(file);
      const changed = later && JSON.stringify(later) !== JSON.stringify(entry);
      if (changed && (sha256 ?? later.sha256) === later.sha256) {
        if (await this.fromShelf(file, later, open, report)) return later;
      }
      // Nothing of what is damaged may be the beginning of another download.
      if (changed || isFresh) await this.shelf?.drop(file);
      return this.fromNetwork(want, now, open, report);
    });
  }

  /** Whether the cached file is the wanted one, and nobody need be asked. */
  private isSettled(entry: Entry, found: Remote, sha256: string | undefined): boolean {
    if (sha256 !== undefined) return entry.sha256 === sha256;
    return found.identity === undefined ? this.source.fixed : entry.identity === found.identity;
  }

  private async fromRecord(file: string, open: () => Sink): Promise<{ sha256: string } | undefined> {
    if (!this.record) throw this.fault('cache', '', 'the cache does not hold it, and the network is off');
    const { files } = this.record;
    if (!Object.hasOwn(files, file)) return undefined;
    const entry = await this.shelf?.entry(file);
    const wanted = this.setting.integrity.get(file) ?? files[file];
    if (entry && entry.sha256 === files[file] && entry.sha256 === wanted) {
      if (await this.fromShelf(file, entry, open, this.reporter.file(file))) return entry;
    }
    throw this.fault('cache', file, 'what the cache holds of it is damaged or another version');
  }

  /** False if the cache was damaged. */
  private async fromShelf(file: string, entry: Entry, open: () => Sink, report: FileReporter): Promise<boolean> {
    if (!this.shelf || !(entry.size <= this.limit(file))) return false;
    const sink = open();
    sink.begin(entry.size);
    let have = 0;
    for await (const bytes of this.shelf.bytes(file, entry)) {
      this.check();
      if ((have += bytes.length) > entry.size) return false;
      sink.write(bytes);
      report.at(have, entry.size);
    }
    if (have !== entry.size || sink.digest() !== entry.sha256) return false;
    this.count(file, have);
    report.done(have);
    return true;
  }

  private async fromDisk(file: string, local: Local, sha256: string | undefined, open: () => Sink) {
    if (!local.lasting) this.cached = false;
    const report = this.reporter.file(file);
    const wrong = (problem: string) => this.fault('answer', file, problem);
    const intake = new Intake({ file, limit: this.limit(file), open, report, wrong });
    const { size } = local;
    await intake.start(size === undefined ? {} : { total: size });
    for await (const chunk of local.chunks(this.stop.signal)) {
      this.check();
      await intake.push(chunk);
    }
    this.check();
    if (size !== undefined && intake.have < size)
      throw this.fault('answer', file, `it ends after ${intake.have} of ${size} bytes`);
    const digest = intake.digest();
    if (sha256 !== undefined && digest !== sha256) throw this.fault('answer', file, wrongDigest(digest, sha256));
    this.count(file, intake.have);
    report.done(intake.have);
    return { sha256: digest };
  }

  private async fromNetwork(want: Want, now: Validators | undefined, open: () => Sink, report: FileReporter) {
    const { file, sha256 } = want;
    const shelf = this.cached ? this.shelf : undefined;
    const identity = sha256 === undefined ? want.identity : `sha256:${sha256}`;
    const runs = (await shelf?.runs(file)) ?? new Map<string, number | undefined>();
    if (identity === undefined && runs.size > 0) now ??= await this.ask(want);
    const kept = identity ?? (now && identityOf(now));
    const wrong = (problem: string) => this.fault('answer', file, problem);
    const intake = new Intake({
      file,
      limit: this.limit(file),
      open,
      report,
      wrong,
      ...(shelf && { shelf }),
      ...(identity && { identity }),
    });
    try {
      const total = want.size ?? now?.total ?? (kept === undefined ? undefined : runs.get(kept));
      if (shelf && kept !== undefined && runs.has(kept)) {
        await intake.resume(shelf, kept, { ...now, ...(total !== undefined && { total }) });
      }
      for (;;) {
        if (!(await download(want, intake))) {
          if (want.size === undefined) return undefined;
          throw this.missing(file, 'the server does not have it, though it is listed');
        }
        this.reached = true;
        const digest = intake.digest();
        if (sha256 === undefined || digest === sha256)
          return { sha256: await this.settle(file, intake, digest, report) };
        const pieced = intake.pieced;
        await intake.forget('wrong digest');
        if (!pieced && !want.httpCache) throw wrong(wrongDigest(digest, sha256));
        // Pieces may be of different contents, and a cached answer old; one whole answer of the server is neither.
        want.httpCache = false;
        intake.reset();
      }
    } catch (error) {
      // What was of the right contents as far as it went; never the beginning of what is wrong.
      if (this.stop.signal.aborted || error instanceof Unreachable) await intake.keep();
      else await intake.forget(error);
      throw error;
    }
  }

  private async settle(file: string, intake: Intake, sha256: string, report: FileReporter): Promise<string> {
    const identity = await intake.finish();
    const { etag, modified } = intake.known;
    const entry: Entry = {
      size: intake.have,
      sha256,
      identity: identity ?? '',
      ...(etag && { etag }),
      ...(modified && { modified }),
    };
    if (identity === undefined || !(await this.shelf?.settle(file, entry))) this.cached = false;
    this.count(file, intake.have);
    report.done(intake.have);
    return sha256;
  }

  private async ask(want: Want) {
    const now = await validators(want);
    this.reached = true;
    return now;
  }

  private want(file: string, found: Remote, sha256: string | undefined): Want {
    const { retries = 3 } = this.setting.options;
    // A model that is there whole need not wait long for a network that is not.
    const patience = this.record && !this.reached ? Math.min(retries, 1) : retries;
    const site = this.source.kind === 'url';
    return {
      ...found,
      file,
      site,
      signal: this.stop.signal,
      retries: patience,
      httpCache: !this.shelf,
      plain: file.endsWith('.safetensors') && found.size === undefined && !isOurs(found.url),
      ...(sha256 !== undefined && { sha256 }),
      fault: (fault, problem, cause) => this.fault(fault, file, problem, cause),
    };
  }

  /** The most bytes that a file may have, beside the weights that are there. */
  private limit(file: string): number {
    return limitOf(file) - (file.endsWith('.safetensors') ? this.weights : 0);
  }

  private count(file: string, bytes: number): void {
    if (file.endsWith('.safetensors')) this.weights += bytes;
  }

  private sink(file: string): Sink {
    const { sinks } = this.setting;
    const sink = sinks.get(file) ?? this.setting.open(file);
    sinks.set(file, sink);
    return sink;
  }

  private locked<T>(file: string, work: () => Promise<T>): Promise<T> {
    const locks = this.shelf && (globalThis.navigator as { locks?: LockManager } | undefined)?.locks;
    if (!locks) return work();
    const { kind, name, revision } = this.source;
    return locks.request(`cloze ${kind} ${name} ${revision} ${file}`, { signal: this.stop.signal }, work);
  }

  private fault(fault: Fault, file: string, problem: string, cause?: unknown): ClozeError {
    return this.source.fault(fault, file, problem, cause);
  }

  private check(): void {
    const { signal } = this.setting.options;
    if (signal?.aborted) throw abortError(signal);
    if (this.stop.signal.aborted) throw abortError(this.stop.signal);
  }
}

function wrongDigest(found: string, wanted: string): string {
  return `its SHA-256 is ${found}, and should be ${wanted}`;
}

/** The same sink, with a copy of what it was given in `pieces`. */
function copying(sink: Sink, pieces: Uint8Array[]): Sink {
  return {
    begin(size) {
      pieces.length = 0;
      sink.begin(size);
    },
    write(chunk) {
      pieces.push(chunk.slice());
      sink.write(chunk);
    },
    digest: () => sink.digest(),
  };
}
