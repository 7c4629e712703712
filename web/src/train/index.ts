/** Fine-tuning in the page, a module of its own: `cloze/train`. */

import { addressOf } from '../assets.js';
import { clip } from '../errors.js';
import { json } from '../inputs.js';
import { handle, openEngine } from '../open.js';
import type { Engines } from '../open.js';
import { normalise, signalOf, wrong } from '../options.js';
import type { Table } from '../options.js';
import type { Backend } from '../protocol.js';
import { examples, TASKS } from './examples.js';
import type { Logits, Loss, Step, Trainer, TrainOptions, TrainTask, Update } from './types.js';

export { ClozeError } from '../errors.js';
export type { Code } from '../errors.js';
export type * from './types.js';

const ENGINES: Engines = {
  names: { module: 'cloze/train.wasm', worker: 'cloze/train/worker' },
  module: () => addressOf(
    () => new URL('./wasm/cloze_bg.wasm', import.meta.url), 'module', 'what importing cloze/train.wasm gives',
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
  base: { kind: 'string' },
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
const SHARE: Table = { ...SIGNAL, share: { kind: 'real' } };
const RATE: Table = { rate: { kind: 'real' } };

/**
 * Loads a model to be trained for a task. What it lacks of the task's head is made of the seed.
 *
 * @throws ClozeError (as a rejection) whose `code` says what is wrong; an `AbortError` if the signal is aborted.
 */
export async function train<T extends TrainTask>(task: T, options: TrainOptions): Promise<Trainer<T>> {
  if (!TASKS.includes(task)) {
    throw wrong('task', `there is no training for '${clip(String(task))}'`, `Use one of ${TASKS.join(', ')}`);
  }
  const { model } = options ?? {};
  const base = typeof model === 'string' || model instanceof URL ? String(model) : undefined;
  const given = { ...options, base: options?.base ?? base };
  const backend = await openEngine(ENGINES, { task, what: `train('${task}')`, own: OPTIONS }, given, undefined);
  return Object.defineProperties({}, { ...calls(backend, task), ...handle(backend) }) as Trainer<T>;
}

function calls(backend: Backend, task: TrainTask): PropertyDescriptorMap {
  const ask = (request: object, { signal }: Record<string, unknown> = {}): Promise<unknown> =>
    backend.perform({ kind: 'run', request: json(request) }, signalOf(signal));

  /** A batch's step or part of one. Whatever ends it early, none of the step's gradients are left. */
  async function learn(
    given: unknown, share: unknown, options: Record<string, unknown>, rate?: unknown,
  ): Promise<number[]> {
    try {
      return (await ask({ kind: 'step', examples: examples(task, given), share, rate }, options)) as number[];
    } catch (error) {
      void ask({ kind: 'forget' }).catch(() => {});
      throw error;
    }
  }

  const methods = {
    async step(given: unknown, options: unknown): Promise<Step> {
      const { rate, share = 1, ...others } = normalise(options, { ...SHARE, ...RATE }, 'step');
      needRate(rate);
      const [loss, gradientNorm] = (await learn(given, share, others, rate)) as [number, number];
      return { loss, gradientNorm };
    },
    async accumulate(given: unknown, options: unknown): Promise<Loss> {
      const { share = 1, ...others } = normalise(options, SHARE, 'accumulate');
      const [loss] = (await learn(given, share, others)) as [number];
      return { loss };
    },
    async update(options: unknown): Promise<Update> {
      const { rate } = normalise(options, RATE, 'update');
      needRate(rate);
      return { gradientNorm: (await ask({ kind: 'update', rate })) as number };
    },
    async predict(given: unknown, options: unknown): Promise<Logits[]> {
      const asked = { kind: 'predict', examples: examples(task, given) };
      const found = (await ask(asked, normalise(options, SIGNAL, 'predict'))) as [number, number, Float32Array][];
      return found.map(([example, columns, values]) => ({ example, values, columns }));
    },
    async export(options: unknown): Promise<Map<string, Uint8Array>> {
      return new Map((await ask({ kind: 'export' }, normalise(options, SIGNAL, 'export'))) as [string, Uint8Array][]);
    },
  };
  const described = Object.entries(methods).map(([name, value]) => [name, { value, enumerable: true }]);
  return Object.fromEntries(described) as PropertyDescriptorMap;
}

function needRate(rate: unknown): void {
  if (rate === undefined) throw wrong('rate', 'there is none', 'Give the learning rate of the step');
}
