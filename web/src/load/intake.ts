/** One file on its way in: to its sink, to the cache part by part, and into the caller's progress. */

import type { Shelf, Writer } from './cache.js';
import { limitOf, tooLarge } from './parts.js';
import type { FileReporter } from './progress.js';
import { identityOf, type Receiver, type Validators } from './transfer.js';
import type { Sink } from './types.js';
import type { ClozeError } from '../errors.js';

export interface IntakeOptions {
  file: string;
  /** Gives the file's sink, when the file is known to be there. */
  open: () => Sink;
  report: FileReporter;
  /** Where the bytes are kept, if anywhere. */
  shelf?: Shelf;
  /** Names the contents, where they are known before the server is asked. */
  identity?: string;
  /** The error for bytes that should not be. */
  wrong: (problem: string) => ClozeError;
}

export class Intake implements Receiver {
  have = 0;
  known: Validators = {};
  /** Whether bytes of more than one answer are together here. */
  pieced = false;
  /** Why the cache did not take the file. */
  refusal: unknown;
  private sink: Sink | undefined;
  private writer: Writer | undefined;
  private identity: string | undefined;

  constructor(private readonly to: IntakeOptions) {}

  /** What `push` is given from now on is the file from its first byte. */
  async start(known: Validators): Promise<void> {
    this.begin(known);
    const { shelf, file } = this.to;
    if (!shelf || this.refusal !== undefined) return;
    const identity = this.to.identity ?? identityOf(known) ?? `once:${crypto.randomUUID()}`;
    if (this.identity !== undefined && this.identity !== identity) await shelf.drop(file, this.identity);
    this.identity = identity;
    this.writer = shelf.writer(file, identity, known.total);
  }

  /** Takes the beginning of the file from parts that the cache has. */
  async resume(shelf: Shelf, identity: string, known: Validators): Promise<void> {
    for await (const part of shelf.kept(this.to.file, identity)) {
      if (!this.writer) {
        this.begin(known);
        this.identity = identity;
        this.writer = shelf.writer(this.to.file, identity, known.total);
      }
      this.take(part);
      this.writer.skip(part);
      this.pieced = true;
    }
  }

  async push(chunk: Uint8Array): Promise<void> {
    this.take(chunk);
    await this.writer?.write(chunk);
    if (this.writer?.refusal !== undefined) await this.forget(this.writer.refusal);
  }

  digest(): string {
    return this.sink?.digest() ?? '';
  }

  /** Puts the rest into the cache; its name there, if it has all of the file. */
  async finish(): Promise<string | undefined> {
    if (!this.writer || (await this.writer.finish())) return this.writer && this.identity;
    await this.forget(this.writer.refusal);
    return undefined;
  }

  /** Keeps what is here for a load to come, if it can be told then what it is a part of. */
  async keep(): Promise<void> {
    if (this.identity?.startsWith('once:')) await this.forget('it has no validators');
    else await this.finish();
  }

  /** Forgets all bytes, for another download from the first one. */
  reset(): void {
    this.have = 0;
    this.known = {};
    this.refusal = undefined;
  }

  /** Takes the file out of the cache again, and does without. */
  async forget(why: unknown): Promise<void> {
    const { writer, identity } = this;
    this.refusal = why;
    this.writer = undefined;
    if (!writer || identity === undefined) return;
    await writer.settled();
    await this.to.shelf?.drop(this.to.file, identity);
  }

  private begin(known: Validators): void {
    const { file, open, report } = this.to;
    const limit = limitOf(file);
    if (known.total !== undefined && known.total > limit) throw tooLarge(file, known.total, limit);
    this.have = 0;
    this.known = known;
    this.pieced = false;
    this.sink ??= open();
    this.sink.begin(known.total);
    report.at(0, known.total);
  }

  private take(chunk: Uint8Array): void {
    const { total } = this.known;
    const have = this.have + chunk.length;
    if (total !== undefined && have > total) throw this.to.wrong(`more than the ${total} bytes that were announced`);
    if (have > limitOf(this.to.file)) throw tooLarge(this.to.file, undefined, limitOf(this.to.file));
    this.sink?.write(chunk);
    this.have = have;
    this.to.report.at(have, total);
  }
}

