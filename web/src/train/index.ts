/** Fine-tuning in the page, a module of its own: `cloze/train`. */

import { addressOf } from '../assets.js';
import { abortError, clip } from '../errors.js';
import { json } from '../inputs.js';
import { handle, isModel, openEngine } from '../open.js';
import type { Engines } from '../open.js';
import { normalise, signalOf, wrong } from '../options.js';
import type { Table } from '../options.js';
import type { Backend, Work } from '../protocol.js';
import { lessons, questions, TASKS } from './examples.js';
import type { Logits, Loss, Step, Trainer, TrainOptions, TrainTask, Update } from './types.js';

export { ClozeError } from '../errors.js';
export type { Code } from '../errors.js';
export type * from './types.js';

const ENGINES: Engines = {
  names: { module: 'cloze/train.wasm', worker: 'cloze/train/worker' },
  module: () =>
    addressOf(
      () => new URL('./wasm/cloze_bg.wasm', import.meta.url),
      'module',
      'what importing cloze/train.wasm gives',
    ),
  worker: () => new Worker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'cloze train' }),
  here: () => import('./engine.js'),
};

const OPTIONS: Table = {
  method: { kind: 'string' },
  loraR: { kind: 'number' },
  loraAlpha: { kind: 'real' },
  loraDropout: { kind: 'real' },
  loraTargets: { kind: 'strings' },
  freezeLayers: { kind: 'number' },
  freezeEmbeddings: { kind: 'boolean' },
  labels: { kind: 'strings' },
  problemType: { kind: 'string' },
  dropout: { kind: 'boolean' },
  seed: { kind: 'number' },
  beta1: { kind: 'real' },
  beta2: { kind: 'real' },
  epsilon: { kind: 'real' },
  weightDecay: { kind: 'real' },
  maxGradNorm: { kind: 'real' },
  correctBias: { kind: 'boolean' },
  checkpointActivations: { kind: 'boolean' },
  maxSeqLen: { kind: 'number' },
  docStride: { kind: 'number' },
};

const SIGNAL: Table = { signal: { kind: 'any' } };
const EXPORT: Table = { ...SIGNAL, merged: { kind: 'boolean' }, base: { kind: 'string' } };
const SHARE: Table = { ...SIGNAL, share: { kind: 'real' } };
const RATE: Table = { rate: { kind: 'real' } };

/**
 * Loads a model to be trained for a task. What it lacks of the task's head is made of the seed.
 *
 * @throws ClozeError (as a rejection) whose `code` says what is wrong; an `AbortError` if the signal is aborted.
 */
export function train<T extends TrainTask>(
  task: T,
  options: TrainOptions & Required<Pick<TrainOptions, 'model'>>,
): Promise<Trainer<T>>;
export function train<T extends TrainTask>(
  task: T,
  model: NonNullable<TrainOptions['model']>,
  options?: TrainOptions,
): Promise<Trainer<T>>;
export async function train(task: TrainTask, second?: unknown, third?: unknown): Promise<Trainer> {
  if (!TASKS.includes(task)) {
    throw wrong('task', `there is no training for '${clip(String(task))}'`, `Use one of ${TASKS.join(', ')}`);
  }
  const wanted = { task, what: `train('${task}')`, own: OPTIONS };
  const backend = await openEngine(ENGINES, wanted, second, third);
  const model = isModel(second) ? second : (second as TrainOptions | undefined)?.model;
  const { name, revision } = backend.state.model;
  const isOnHub = (typeof model === 'string' || model instanceof URL) && !name.includes('://');
  const base = isOnHub ? { base: name, revision } : {};
  return Object.defineProperties({}, { ...calls(backend, task, base), ...handle(backend) }) as Trainer;
}

const FORGET = json({ kind: 'forget' });

/** `base`: what adapters call the model that they are of, where it has a name that is good anywhere. */
function calls(backend: Backend, task: TrainTask, base: object): PropertyDescriptorMap {
  const ask = (request: object, { signal }: Record<string, unknown> = {}): Promise<unknown> =>
    backend.perform({ kind: 'run', request: json(request) }, signalOf(signal));

  /** A step or part of one, as `prepare` makes it. Whatever ends it early, none of the step's gradients are left. */
  async function change(prepare: () => [request: object, signal?: unknown]): Promise<unknown> {
    let work: Work;
    let signal: AbortSignal | undefined;
    try {
      const [request, given] = prepare();
      signal = signalOf(given);
      if (signal?.aborted) throw abortError(signal);
      work = { kind: 'run', request: json(request), undo: FORGET };
    } catch (error) {
      // In its turn: after the calls before this one.
      void backend.perform({ kind: 'run', request: FORGET }).catch(() => {});
      throw error;
    }
    return backend.perform(work, signal);
  }

  const methods = {
    async step(given: unknown, options: unknown): Promise<Step> {
      const [loss, gradientNorm] = (await change(() => {
        const { rate, share = 1, signal } = normalise(options, { ...SHARE, ...RATE }, 'step');
        needRate(rate);
        return [{ kind: 'step', examples: lessons(task, given), share, rate }, signal];
      })) as [number, number];
      return { loss, gradientNorm };
    },
    async accumulate(given: unknown, options: unknown): Promise<Loss> {
      const [loss] = (await change(() => {
        const { share = 1, signal } = normalise(options, SHARE, 'accumulate');
        return [{ kind: 'step', examples: lessons(task, given), share }, signal];
      })) as [number];
      return { loss };
    },
    async update(options: unknown): Promise<Update> {
      const gradientNorm = (await change(() => {
        const { rate } = normalise(options, RATE, 'update');
        needRate(rate);
        return [{ kind: 'update', rate }];
      })) as number;
      return { gradientNorm };
    },
    async predict(given: unknown, options: unknown): Promise<Logits[]> {
      const asked = { kind: 'predict', examples: questions(task, given) };
      const found = (await ask(asked, normalise(options, SIGNAL, 'predict'))) as [number, number, Float32Array][];
      return found.map(([example, columns, values]) => ({ example, values, columns }));
    },
    async export(options: unknown): Promise<Map<string, Uint8Array>> {
      const { merged = false, signal, ...named } = normalise(options, EXPORT, 'export');
      const request = { kind: 'export', merged, ...('base' in named ? named : base) };
      return new Map((await ask(request, { signal })) as [string, Uint8Array][]);
    },
  };
  const described = Object.entries(methods).map(([name, value]) => [name, { value, enumerable: true }]);
  return Object.fromEntries(described) as PropertyDescriptorMap;
}

function needRate(rate: unknown): void {
  if (rate === undefined) throw wrong('rate', 'there is none', 'Give the learning rate of the step');
}
