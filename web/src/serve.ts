/** A worker's side of the wall: an engine behind messages. */

import type { Backend, Failure, FromWorker, OpenEngine, ToWorker } from './protocol.js';

declare const self: DedicatedWorkerGlobalScope;

const say = (message: FromWorker): void => self.postMessage(message);
const aborts = new Map<number, AbortController>();
let engine: Backend | undefined;

/** Answers the page's messages with an engine that is opened when one asks. Other messages are not for it. */
export function serve(open: OpenEngine): void {
  self.onmessage = ({ data }: MessageEvent<ToWorker | null>) => {
    switch (data?.kind) {
      case 'ping':
        say({ kind: 'pong' });
        break;
      case 'abort':
        aborts.get(data.id)?.abort();
        break;
      case 'open':
      case 'work':
        void answer(open, data);
    }
  };
  say({ kind: 'started' });
  const lock = `cloze worker ${Math.random()}`;
  // Only secure contexts have locks. Elsewhere the page goes by the worker's answers alone.
  const locks = (self.navigator as { locks?: LockManager } | undefined)?.locks;
  locks
    ?.request(lock, () => {
      say({ kind: 'alive', lock });
      return new Promise(() => {});
    })
    .catch(() => {});
}

async function answer(open: OpenEngine, message: Extract<ToWorker, { kind: 'open' | 'work' }>): Promise<void> {
  const { id } = message;
  const abort = new AbortController();
  aborts.set(id, abort);
  try {
    let value: unknown;
    if (message.kind === 'open') {
      const onProgress = (progress: (FromWorker & { kind: 'progress' })['progress']): void =>
        say({ kind: 'progress', progress });
      engine = await open(message.request, { signal: abort.signal, onProgress });
    } else if (engine) {
      value = await engine.perform(message.work, abort.signal);
    }
    if (engine) say({ kind: 'done', id, value, state: engine.state });
  } catch (error) {
    say({ kind: 'failed', id, failure: failureOf(error) });
  } finally {
    aborts.delete(id);
  }
}

function failureOf(error: unknown): Failure {
  if (!(error instanceof Error)) return { name: 'Error', message: String(error) };
  const { name, message } = error;
  return 'code' in error && typeof error.code === 'string'
    ? { name, message, code: error.code as NonNullable<Failure['code']> }
    : { name, message };
}
