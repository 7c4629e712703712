/** `pipeline`: from a task and options to a function that does it. */

import { clip } from './errors.js';
import { handle, openEngine } from './open.js';
import type { Engines } from './open.js';
import { wrong } from './options.js';
import { defaultModel, moduleAddress, unigramAddress } from './own.js';
import type { Backend } from './protocol.js';
import { results, taskNamed, TASKS } from './tasks.js';
import type { Entry } from './tasks.js';
import type { PipelineOptions, Task, Tasks, TokenFeatures, TransformersLoadNames } from './types.js';

const ENGINES: Engines = {
  names: { module: 'cloze/cloze.wasm', worker: 'cloze/worker' },
  module: moduleAddress,
  unigram: unigramAddress,
  worker: () => new Worker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'cloze' }),
  here: () => import('./inference.js'),
  model: (task) => (task === 'question-answering' ? defaultModel() : undefined),
};

type LoadOptions = PipelineOptions & TransformersLoadNames;

export function pipeline(
  task: 'feature-extraction',
  options: LoadOptions & { pooling: 'none' },
): Promise<TokenFeatures>;
export function pipeline(
  task: 'feature-extraction',
  options?: LoadOptions & { pooling?: Exclude<import('./types.js').Pooling, 'none'> },
): Promise<Tasks['feature-extraction']>;
export function pipeline<T extends Task>(task: T, options?: LoadOptions): Promise<Tasks[T]>;
export function pipeline<T extends Task>(
  task: T,
  model: NonNullable<PipelineOptions['model']>,
  options?: LoadOptions,
): Promise<Tasks[T]>;
/**
 * Loads a model for a task. Resolves to a function that does the task.
 *
 * @throws ClozeError (as a rejection) whose `code` says what is wrong; an `AbortError` if the signal is aborted.
 */
export async function pipeline(named: Task, second?: unknown, third?: unknown): Promise<unknown> {
  const task = taskNamed(String(named));
  const known = Object.keys(TASKS).join(', ');
  if (!task) throw wrong('task', `there is no task '${clip(String(named))}'`, `Use one of ${known}`);
  const entry: Entry = TASKS[task];
  const backend = await openEngine(ENGINES, { task, what: `pipeline('${task}')`, own: entry.load }, second, third);
  return callable(backend, entry);
}

function callable(backend: Backend, { prepare, also = {} }: Entry): unknown {
  type Prepare = Entry['prepare'];
  const calling =
    (prepare: Prepare) =>
    async (...args: unknown[]): Promise<unknown> => {
      const prepared = prepare(...args);
      return results(prepared, await backend.perform({ kind: 'run', request: prepared.request }, prepared.signal));
    };
  const others = Object.entries(also).map(([name, one]) => [name, { value: calling(one), enumerable: true }]);
  return Object.defineProperties(calling(prepare), {
    ...(Object.fromEntries(others) as PropertyDescriptorMap),
    ...handle(backend),
  });
}
