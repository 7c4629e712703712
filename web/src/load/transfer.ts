/**
 * One file over HTTP: streamed, continued where it breaks off, and never more of it than was announced.
 *
 * A request that continues a file asks for a range, and its answer is taken only if it is of the same contents, by
 * their validators or a digest that is checked in the end. Only headers are sent for which a browser asks no server's
 * leave.
 */

import { abortError, messageOf, type ClozeError } from '../errors.js';
import type { Fault, Remote } from './source.js';

/** Milliseconds: a server that is silent for longer has gone. */
const PATIENCE = 30_000;

/** Bytes that have to come in as much time of waiting: a byte now and then would hold a load for years. */
const LEAST = 30 << 10;

/** No file is asked for more often, whatever the progress. */
const MOST_ATTEMPTS = 100;

/** What a server calls a file's contents. */
export interface Validators {
  etag?: string;
  modified?: string;
  /** Bytes of the whole file. */
  total?: number;
}

export interface Want extends Remote {
  file: string;
  signal: AbortSignal;
  retries: number;
  /** Whether the browser's own HTTP cache may answer. */
  httpCache: boolean;
  /** Ask for a range from the first byte on, so that no compression hides the size. */
  plain: boolean;
  /** Whether it may be a server that answers with a page for what is not there. */
  site: boolean;
  fault(fault: Fault, problem: string, cause?: unknown): ClozeError;
}

/** Where the bytes go. */
export interface Receiver {
  /** Bytes that are there. */
  readonly have: number;
  /** Of the contents that they belong to. */
  readonly known: Validators;
  start(known: Validators): Promise<void>;
  push(chunk: Uint8Array): Promise<void>;
}

/** A transfer that may well succeed when it is tried again. */
class Broken extends Error {
  constructor(
    message: string,
    readonly wait = 0,
  ) {
    super(message);
  }
}

/** Fetches what `into` lacks of a file. False if the server has none of that name. */
export async function download(want: Want, into: Receiver): Promise<boolean> {
  let best = into.have;
  let failures = 0;
  const way = { ranges: true };
  for (let attempt = 1; ; attempt++) {
    try {
      return await transfer(want, into, way);
    } catch (error) {
      if (want.signal.aborted) throw abortError(want.signal);
      if (!(error instanceof Broken)) throw error;
      failures = into.have > best ? 1 : failures + 1;
      best = Math.max(best, into.have);
      if (failures > want.retries || attempt >= MOST_ATTEMPTS) throw want.fault('network', error.message, error);
      await pause(Math.max(error.wait, 300 * 3 ** (failures - 1) * (0.75 + Math.random() / 2)), want.signal);
    }
  }
}

/** Asks for a file's validators; nothing if there is no such file, or the server does not answer such questions. */
export async function validators(want: Want): Promise<{ status: number } & Validators> {
  for (let failures = 1; ; failures++) {
    try {
      const { response, done } = await ask(want, 'HEAD', {});
      done();
      return { status: isPage(response, want) ? 404 : response.status, ...validatorsOf(response) };
    } catch (error) {
      if (want.signal.aborted) throw abortError(want.signal);
      if (!(error instanceof Broken)) throw error;
      if (failures > want.retries) throw want.fault('network', error.message, error);
      await pause(300 * 3 ** (failures - 1), want.signal);
    }
  }
}

async function transfer(want: Want, into: Receiver, way: { ranges: boolean }): Promise<boolean> {
  const from = way.ranges ? into.have : 0;
  if (from > 0 && from === (want.size ?? into.known.total)) return true;
  const headers: Record<string, string> = {};
  if (way.ranges && (from > 0 || want.plain)) headers['range'] = `bytes=${from}-`;
  const validator = strong(into.known.etag) ?? into.known.modified;
  if (from > 0 && validator !== undefined && isOurs(want.url)) headers['if-range'] = validator;
  const { response, chunks, done } = await ask(want, 'GET', headers);
  try {
    const { status } = response;
    if (status === 404 || status === 410 || isPage(response, want)) return false;
    const found = validatorsOf(response);
    if (status === 206 && from > 0) {
      if (!continues(want, into, from, response, found)) {
        way.ranges = false;
        throw new Broken('the server continued another file than the one that was begun');
      }
    } else if (status === 200 || (status === 206 && (rangeOf(response)?.start ?? 0) === 0)) {
      if (want.size !== undefined && found.total !== undefined && found.total !== want.size) {
        throw want.fault('answer', `${want.size} bytes were announced, now ${found.total}`);
      }
      await into.start(want.size === undefined ? found : { ...found, total: want.size });
    } else if (status === 416) {
      if (want.size !== undefined) throw want.fault('answer', `it ends before the ${want.size} announced bytes`);
      way.ranges = false;
      throw new Broken('the file became shorter while it was fetched');
    } else {
      throw refusal(want, response);
    }
    for await (const chunk of chunks()) await into.push(chunk);
    const total = into.known.total;
    if (total !== undefined && into.have < total) {
      throw new Broken(`the download broke off after ${into.have} of ${total} bytes`);
    }
    return true;
  } finally {
    done();
  }
}

/** Whether an answer with a range goes on where `from` bytes ended, in the same contents. */
function continues(want: Want, into: Receiver, from: number, response: Response, found: Validators): boolean {
  const range = rangeOf(response);
  const same = <T>(a: T | undefined, b: T | undefined) => a === undefined || b === undefined || a === b;
  if (range && (range.start !== from || !same(range.total, want.size ?? into.known.total))) return false;
  if (want.sha256 !== undefined) return true;
  // Without a digest, all that could tell another file must be there and agree.
  if (!range) return false;
  if (want.identity !== undefined) return true;
  const { etag, modified } = into.known;
  return strong(etag) !== undefined ? etag === found.etag : modified !== undefined && modified === found.modified;
}

/** Sends one request; `done` ends it, whatever is left of its body. */
async function ask(want: Want, method: string, extra: Record<string, string>) {
  const guard = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let silent = false;
  const abort = () => guard.abort();
  const touch = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      silent = true;
      guard.abort();
    }, PATIENCE);
  };
  const done = () => {
    clearTimeout(timer);
    want.signal.removeEventListener('abort', abort);
    guard.abort();
  };
  if (want.signal.aborted) throw abortError(want.signal);
  want.signal.addEventListener('abort', abort);
  touch();
  const broken = (error: unknown, problem: string) =>
    new Broken(silent ? `the server was silent for ${PATIENCE / 1000} s` : `${problem}: ${messageOf(error)}`);

  // Browsers choose the encoding themselves, and drop the header; Node asks for it.
  const headers = { 'accept-encoding': 'identity', ...want.headers, ...extra };
  let response: Response;
  try {
    const cache = want.httpCache ? 'default' : 'no-store';
    response = await fetch(want.url, { method, headers, signal: guard.signal, cache, credentials: 'same-origin' });
  } catch (error) {
    done();
    throw broken(error, 'the server cannot be reached');
  }
  async function* chunks(): AsyncGenerator<Uint8Array> {
    const reader = response.body?.getReader();
    let waited = 0;
    let came = 0;
    while (reader) {
      let next;
      touch();
      const from = performance.now();
      try {
        next = await reader.read();
      } catch (error) {
        throw broken(error, 'the download broke off');
      }
      // Only the server's silence counts, and not what is done with its bytes.
      clearTimeout(timer);
      if (next.done) return;
      waited += performance.now() - from;
      came += next.value.length;
      if (waited > PATIENCE) {
        if (came < LEAST) throw new Broken(`the server sent less than ${LEAST} bytes in ${PATIENCE / 1000} s`);
        waited = came = 0;
      }
      yield next.value;
    }
  }
  if (response.status === 408 || response.status === 429 || response.status >= 500) {
    done();
    const after = Number(response.headers.get('retry-after'));
    throw new Broken(`the server is busy or out of order (status ${response.status})`, Math.min(after || 0, 20) * 1000);
  }
  return { response, chunks, done };
}

/** The text of a small answer, such as a list of files; nothing for 404. */
export async function text(want: Want, most: number): Promise<string | undefined> {
  const pieces: Uint8Array[] = [];
  const into = {
    have: 0,
    known: {},
    async start(known: Validators) {
      pieces.length = 0;
      this.have = 0;
      this.known = known;
    },
    async push(chunk: Uint8Array) {
      pieces.push(chunk);
      this.have += chunk.length;
      if (this.have > most) throw want.fault('answer', `the answer is longer than ${most} bytes`);
    },
  };
  return (await download(want, into)) ? new Blob(pieces as BlobPart[]).text() : undefined;
}

function refusal(want: Want, response: Response): ClozeError {
  const { status } = response;
  if (status === 401 || status === 403) return want.fault('access', `status ${status}`);
  return want.fault('answer', `unexpected status ${status}`);
}

/** Servers of single-page applications answer with their page for whatever is not there. */
function isPage(response: Response, want: Want): boolean {
  return want.site && response.ok && /^text\/html\b/i.test(response.headers.get('content-type') ?? '');
}

function validatorsOf(response: Response): Validators {
  const known: Validators = {};
  const etag = response.headers.get('etag');
  if (etag !== null && etag.length <= 200) known.etag = etag;
  const modified = response.headers.get('last-modified');
  if (modified !== null && modified.length <= 60) known.modified = modified;
  const total = totalOf(response);
  if (total !== undefined) known.total = total;
  return known;
}

/** Bytes of the whole file; not what a compressed answer, or one that may be, says of itself. */
function totalOf(response: Response): number | undefined {
  if (response.status === 206) return rangeOf(response)?.total ?? lengthOf(response);
  const hidden = response.headers.has('content-encoding') || (response.body !== null && !isOurs(response.url));
  return hidden ? undefined : lengthOf(response);
}

/** What an answer says of the number of its bytes. */
export function lengthOf(response: Response): number | undefined {
  const length = response.headers.get('content-length') ?? '';
  return /^\d{1,15}$/.test(length) ? Number(length) : undefined;
}

function rangeOf(response: Response): { start: number; total: number | undefined } | undefined {
  const range = /^bytes (\d{1,15})-\d{1,15}\/(\d{1,15}|\*)$/.exec(response.headers.get('content-range') ?? '');
  if (!range) return undefined;
  return { start: Number(range[1]), total: range[2] === '*' ? undefined : Number(range[2]) };
}

/** Whether all headers of an answer can be seen, and any may be sent: the page's own origin, and everywhere in Node. */
export function isOurs(url: string): boolean {
  const origin = (globalThis as { location?: { origin?: string } }).location?.origin;
  return origin === undefined || new URL(url).origin === origin;
}

/** Validators that may stand for every byte. */
function strong(etag: string | undefined): string | undefined {
  return etag?.startsWith('W/') === false ? etag : undefined;
}

/** A name for contents, by what a server says of them; nothing if that is too little. */
export function identityOf({ etag, modified, total }: Validators): string | undefined {
  const tag = strong(etag);
  if (tag !== undefined) return `etag:${tag}`;
  return modified !== undefined && total !== undefined ? `date:${modified}:${total}` : undefined;
}

/** Whether two answers are about the same contents, as far as a cache must know. */
export function sameContents(now: Validators, then: Validators): boolean {
  const bare = (etag: string) => etag.replace(/^W\//, '');
  if (now.etag !== undefined && then.etag !== undefined) return bare(now.etag) === bare(then.etag);
  if (now.total !== undefined && then.total !== undefined && now.total !== then.total) return false;
  return now.modified !== undefined && now.modified === then.modified;
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      clearTimeout(timer);
      reject(abortError(signal));
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', abort);
      resolve();
    }, ms);
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true });
  });
}
