/** Waiting for signals: one listener a signal, however many wait, since every listener added or removed is looked for among all. */

import { abortError } from './errors.js';

interface Group {
  stops: Set<() => void>;
  fire(): void;
}

const groups = new WeakMap<AbortSignal, Group>();

/** Calls `stop` once the signal is aborted, unless what it returns is called before. Not if the signal is aborted already. */
export function onAbort(signal: AbortSignal | undefined, stop: () => void): () => void {
  if (!signal) return () => {};
  const group = groups.get(signal) ?? newGroup(signal);
  const own = (): void => stop();
  if (group.stops.size === 0) signal.addEventListener('abort', group.fire);
  group.stops.add(own);
  return () => {
    if (group.stops.delete(own) && group.stops.size === 0) signal.removeEventListener('abort', group.fire);
  };
}

function newGroup(signal: AbortSignal): Group {
  const stops = new Set<() => void>();
  const fire = (): void => {
    signal.removeEventListener('abort', fire);
    const all = [...stops];
    stops.clear();
    for (const stop of all) stop();
  };
  const group = { stops, fire };
  groups.set(signal, group);
  return group;
}

/** The same promise, but rejected as soon as the signal is aborted. */
export function unlessAborted<T>(promise: Promise<T>, signal?: AbortSignal): Promise<T> {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(abortError(signal));
    const off = signal.aborted ? stop() : onAbort(signal, stop);
    void promise.then(resolve, reject).then(() => off?.());
  });
}
