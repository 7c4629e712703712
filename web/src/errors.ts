/**
 * The package's errors. Each names the thing that is wrong and what to do about it, and bears the code that the Rust
 * crate's error of the same kind has (`src/error.rs`). `worker_lost` is the package's own.
 */

export type Code =
  | 'io'
  | 'config'
  | 'checkpoint'
  | 'tokenizer'
  | 'data'
  | 'unsupported'
  | 'input'
  | 'option'
  | 'memory'
  | 'gpu'
  | 'device_lost'
  | 'hub_not_found'
  | 'hub_no_access'
  | 'hub_not_cached'
  | 'hub_network'
  | 'hub_answer'
  | 'wrong'
  | 'not_finite'
  | 'diverged'
  | 'cancelled'
  | 'worker_lost';

export class ClozeError extends Error {
  /** Stable, for programs; the message is for people. */
  readonly code: Code;

  constructor(code: Code, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'ClozeError';
    this.code = code;
  }
}

/** What an aborted call rejects with: the signal's own AbortError, or a new one that keeps its reason as `cause`. */
export function abortError(signal?: AbortSignal): DOMException {
  const reason: unknown = signal?.reason;
  if (reason instanceof DOMException && reason.name === 'AbortError') return reason;
  const error = new DOMException('The call was aborted.', 'AbortError');
  Object.defineProperty(error, 'cause', { value: reason, configurable: true, writable: true });
  return error;
}

/** The start of a name or message that came from elsewhere, fit for one line. */
export function clip(text: string, most = 120): string {
  const line = Array.from(text.slice(0, 2 * most), (c) => (/\p{Cc}/u.test(c) ? ' ' : c));
  return line.length > most || text.length > 2 * most ? line.slice(0, most).join('') + '…' : line.join('');
}

/** The message of whatever was thrown. */
export function messageOf(error: unknown): string {
  return clip(error instanceof Error ? error.message || error.name : String(error), 300);
}
