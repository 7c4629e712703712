/** The report for an issue: what the device is and does. Nothing of the visitor's text or questions is in it. */

import { byId, messageOf, Status } from './dom.ts';
import { copy } from './copy.ts';
import type { Model, Task } from './model.ts';

interface Call {
  task: Task;
  took: number;
  tokens: number | undefined;
}

const MOST_CALLS = 10;
const calls: Call[] = [];

/** Remembers what a call took. */
export function noteCall(task: Task, took: number, tokens?: number): void {
  calls.push({ task, took, tokens });
  if (calls.length > MOST_CALLS) calls.shift();
}

async function aboutModel(model: Model<Task>): Promise<string[]> {
  const { stage, pipeline } = model;
  const lines = [`${model.task}: ${stage.stage}`];
  if (stage.stage === 'failed') lines.push(`  failed with: ${stage.message}`);
  if (!pipeline) return lines;
  const { name, revision, cached } = pipeline.model;
  const counters = await pipeline.counters().catch((error: unknown) => messageOf(error));
  // A folder's name is the visitor's own, and an address may hold a key.
  const shown = model.choice.kind === 'folder' ? 'a local folder' : name.replace(/[?#].*$/s, '');
  return [
    ...lines,
    `  model: ${shown}${revision === undefined ? '' : `, ${revision}`}${cached ? ', in the cache' : ''}`,
    `  loaded in: ${Math.round(model.loadTime ?? 0)} ms`,
    `  device: ${pipeline.device} (${pipeline.adapter})`,
    `  reason and self-test: ${pipeline.reason}`,
    `  in a worker: ${pipeline.worker}`,
    `  counters: ${JSON.stringify(counters)}`,
  ];
}

async function adapter(): Promise<string> {
  const gpu = (navigator as { gpu?: { requestAdapter(): Promise<{ info?: Record<string, unknown> } | null> } }).gpu;
  if (!gpu) return 'this browser has no WebGPU';
  const found = await gpu.requestAdapter().catch(() => null);
  if (!found) return 'no adapter';
  const { vendor, architecture, device, description } = found.info ?? {};
  return [vendor, architecture, device, description].filter(Boolean).join(' ') || 'an unnamed adapter';
}

export async function reportOf(models: readonly Model<Task>[]): Promise<string> {
  const parts = await Promise.all(models.map(aboutModel));
  const last = calls.map(
    ({ task, took, tokens }) => `  ${task}: ${Math.round(took)} ms${tokens === undefined ? '' : `, ${tokens} tokens`}`,
  );
  return [
    'Cloze demo report',
    `browser: ${navigator.userAgent}`,
    `processors: ${navigator.hardwareConcurrency}`,
    `WebGPU: ${await adapter()}`,
    `screen: ${innerWidth} x ${innerHeight} at ${devicePixelRatio}`,
    `offline: ${navigator.serviceWorker?.controller ? 'service worker in charge' : 'no service worker'}`,
    ...parts.flat(),
    'last calls:',
    ...(last.length > 0 ? last : ['  none']),
  ].join('\n');
}

export function startReport(models: readonly Model<Task>[]): void {
  const status = new Status(byId('report-status'));
  byId('report').addEventListener('click', () => {
    void (async () => {
      const field = byId<HTMLTextAreaElement>('report-text');
      const isCopied = await copy(await reportOf(models), byId('report-manual'), field);
      status.say(
        isCopied
          ? 'Copied. The report contains nothing of your text.'
          : 'This page cannot use the clipboard. Copy the report by hand.',
      );
    })();
  });
}
