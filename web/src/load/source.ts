/** Where a model's files come from: the Hub, an address, the package, the visitor's disk, or the caller. */

import { ClozeError } from '../errors.js';

/** What can go wrong at a source; each has its own code for it. */
export type Fault = 'missing' | 'access' | 'cache' | 'network' | 'answer';

/** The network is down, or the server: what was fetched earlier will do. */
export class Unreachable extends ClozeError {}

/** The cache does not hold it. */
export class NotCached extends ClozeError {}

/** A file behind an address. */
export interface Remote {
  url: string;
  headers?: Record<string, string>;
  /** Bytes, where they are known beforehand. */
  size?: number;
  /** In hex, where it is known beforehand. */
  sha256?: string;
  /** Names the file's contents where no digest does; not given where only the server's answers can. */
  identity?: string;
}

/** A file on the visitor's disk, on Node's, in the program itself, or from the caller. */
export interface Local {
  /** Bytes, where they are known beforehand. */
  size?: number;
  sha256?: string;
  /** Whether it is there whenever the program is, as if it were cached. */
  lasting?: boolean;
  /** Its bytes. They end early when the signal is aborted, where waiting for them can be cut short. */
  chunks(signal: AbortSignal): AsyncIterable<Uint8Array>;
}

export interface Source {
  readonly kind: 'hub' | 'url' | 'shipped' | 'files';
  /** In messages, reports and the cache. */
  readonly name: string;
  /** Empty where nothing names one. */
  readonly revision: string;
  /** Whether what has this name and revision never changes. */
  readonly fixed: boolean;
  /** What is known of a file; nothing if the model certainly has no such file. */
  find(file: string): Promise<Remote | Local | undefined>;
  /** Names of files, to say what there is instead of weights. */
  others(): Promise<string[]>;
  /** Called when the cache has all of the model. */
  settled?(): Promise<void>;
  fault(fault: Fault, file: string, problem: string, cause?: unknown): ClozeError;
}

/** Makes the error of a fault, so that a load can tell those that the cache mends. */
export function faultOf(fault: Fault, code: ClozeError['code'], message: string, cause?: unknown): ClozeError {
  const options = cause === undefined ? undefined : { cause };
  if (fault === 'network') return new Unreachable(code, message, options);
  if (fault === 'cache') return new NotCached(code, message, options);
  return new ClozeError(code, message, options);
}
