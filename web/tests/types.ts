// Compiles: nothing runs it. Each task by its types, as a user's compiler sees them, and what must not compile.

import { ClozeError, cosine, deleteModel, listModels, pipeline, rows, search, similarity } from 'cloze';
import type {
  Answer,
  Code,
  Counters,
  Device,
  Entity,
  Explained,
  Filled,
  FillMask,
  GiveFile,
  Nearest,
  NextSentenceResult,
  PipelineHandle,
  QuestionAnswering,
  Ranked,
  Scored,
  TextRanking,
} from 'cloze';

import { ClozeError as TrainError, train } from 'cloze/train';
import type { Logits, Step, Trainer } from 'cloze/train';

/** Holds if the types are the same, not only assignable. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <A, B>(_: Same<A, B>): void => {};

export async function questionAnswering(signal: AbortSignal): Promise<void> {
  const answer = await pipeline('question-answering', {
    device: 'auto',
    worker: true,
    signal,
    onProgress: (progress) => console.log(progress.status),
  });
  same<typeof answer, QuestionAnswering>(true);
  const options = { topK: 3, maxAnswerTokens: 15, maxSeqLen: 384, docStride: 128, noAnswer: true, signal };
  const answers = await answer('Who?', 'Ada.', options);
  same<typeof answers, Answer[]>(true);
  const many = await answer(['Who?', 'When?'], 'Ada, in 1843.');
  same<typeof many, Answer[][]>(true);
  const one = await answer({ question: 'Who?', context: 'Ada.' }, { top_k: 1, max_answer_len: 15 });
  same<typeof one, Answer[]>(true);
  const explained = await answer.explain('Who?', 'Ada.', { topK: 2 });
  same<typeof explained, Explained>(true);
  same<typeof explained.context.startScore, Float32Array>(true);
  const [best] = answers;
  // @ts-expect-error: there may be no answer
  best.answer;
  if (best) same<(typeof best)['start'], number>(true);

  const handle: PipelineHandle = answer;
  same<typeof handle.device, Device>(true);
  same<typeof handle.reason, string>(true);
  const counters = await handle.counters();
  same<typeof counters, Counters>(true);
  await handle.dispose();

  // @ts-expect-error: a question needs a context
  await answer('Who?');
  // @ts-expect-error: no such option
  await answer('Who?', 'Ada.', { topk: 3 });
  // @ts-expect-error: the device is decided at load
  answer.device = 'wasm';
}

export async function otherTasks(files: FileList): Promise<void> {
  const fill = await pipeline('fill-mask', { model: 'google-bert/bert-base-uncased', revision: 'main' });
  same<typeof fill, FillMask>(true);
  const filled = await fill('Paris is the [MASK] of France.', { topK: 2, targets: ['capital'] });
  same<typeof filled, Filled[]>(true);
  // @ts-expect-error: one text at a time, or an array
  await fill('a [MASK]', 'b [MASK]');

  const embed = await pipeline('feature-extraction', { model: files });
  const vector = await embed('a text', { normalize: true });
  same<typeof vector, Float32Array>(true);
  const vectors = await embed(['a text', { text: 'another', pair: 'one' }]);
  same<typeof vectors, Float32Array[]>(true);

  const classify = await pipeline('text-classification', { model: 'https://models.example/sst2/', device: 'wasm' });
  const classes = await classify({ text: 'a premise', pair: 'a hypothesis' }, { topK: 1 });
  same<typeof classes, Scored[]>(true);

  await classify({ text: 'a premise', text_pair: 'a hypothesis' });
  await classify([{ sentence1: 'a', sentence2: 'b' }, { premise: 'a', hypothesis: 'b' }, { sentence: 'a' }]);
  await classify({ question: 'Who?', sentence: 'Ada.' });
  // @ts-expect-error: two names of one text
  await classify({ text: 'a', sentence: 'a' });
  // @ts-expect-error: a name that is not known
  await classify({ text: 'a', text_b: 'b' });
  // @ts-expect-error: the first text is missing
  await classify({ text_pair: 'b' });

  const tag = await pipeline('token-classification', { model: 'owner/name@v1', device: 'webgpu' });
  const entities = await tag(['Ada lived in London.'], { aggregation: 'simple' });
  same<typeof entities, Entity[][]>(true);
  // @ts-expect-error: no such strategy
  await tag('Ada', { aggregation: 'best' });

  const next = await pipeline('next-sentence', { model: 'owner/name', worker: false });
  const follows = await next('It rained.', 'We stayed in.');
  same<typeof follows, NextSentenceResult>(true);
  await next({ sentence1: 'It rained.', sentence2: 'We stayed in.' });
  // @ts-expect-error: two texts
  await next('It rained.');
  // @ts-expect-error: two texts
  await next({ text: 'It rained.' });

  const zeroShot = await pipeline('zero-shot-classification', { model: 'owner/name', offline: true });
  const labels = await zeroShot('a goal in the last minute', ['sport', 'politics'], { multiLabel: true });
  same<typeof labels, Scored[]>(true);

  const give: GiveFile = (file) => fetch(`https://files.example/${file}`);
  const module: WebAssembly.Module = await WebAssembly.compile(new Uint8Array());
  await pipeline('question-answering', { model: give, module });
  await pipeline('question-answering', (file) => (file === 'config.json' ? new Uint8Array() : undefined));

  // @ts-expect-error: no such task
  await pipeline('summarization');
  // @ts-expect-error: no such device
  await pipeline('fill-mask', { device: 'cpu' });
}

export async function ranking(signal: AbortSignal): Promise<void> {
  const rank = await pipeline('text-ranking', { model: 'owner/name' });
  same<typeof rank, TextRanking>(true);
  const ranked = await rank('Who?', ['Ada.', 'Nobody.'], { topK: 1, prompt: 'query', signal });
  same<typeof ranked, Ranked[]>(true);
  const many = await rank([{ query: 'Who?', texts: ['Ada.'] }]);
  same<typeof many, Ranked[][]>(true);
  await rank({ query: 'Who?', documents: ['Ada.'] });
  // @ts-expect-error: texts are an array
  await rank('Who?', 'Ada.');

  const embed = await pipeline('feature-extraction', { model: 'owner/name' });
  const vectors = await embed(['a', 'b']);
  const [vector] = vectors;
  if (!vector) return;
  const nearest = search(vector, vectors, { topK: 3, metric: 'dot' });
  same<typeof nearest, Nearest>(true);
  same<typeof nearest.indices, Uint32Array>(true);
  const each = search(vectors, rows(vector, 2));
  same<typeof each, Nearest[]>(true);
  const found = await search('Who?', ['Ada.', 'Nobody.'], { embed, rerank: rank, candidates: 20 });
  same<(typeof found)[number]['text'], string>(true);
  const matrix = similarity(vectors, [[1, 2]]);
  same<typeof matrix, Float32Array>(true);
  const angle = cosine(vector, [1, 2]);
  same<typeof angle, number>(true);
  // @ts-expect-error: texts need what embeds them
  search('Who?', ['Ada.']);
  // @ts-expect-error: no such metric
  similarity(vectors, vectors, 'hamming');
}

export async function models(): Promise<Code | undefined> {
  try {
    for (const { name } of await listModels()) await deleteModel(name);
  } catch (error) {
    if (error instanceof ClozeError) return error.code;
  }
  return undefined;
}

export async function training(signal: AbortSignal): Promise<void> {
  const trainer = await train('text-classification', {
    model: 'owner/name',
    labels: ['no', 'yes'],
    problemType: 'single_label_classification',
    method: 'full',
    seed: 7,
    signal,
  });
  same<typeof trainer, Trainer<'text-classification'>>(true);
  const examples = [
    { text: 'a text', label: 'yes' },
    { text: 'a text', pair: 'another', label: 0 },
    { premise: 'a text', hypothesis: 'another', label: 0 },
  ] as const;
  const step = await trainer.step(examples, { rate: 1e-5, signal });
  same<typeof step, Step>(true);
  same<typeof step.gradientNorm, number>(true);
  await trainer.accumulate({ ids: [101, 102], label: 'no' }, { share: 0.5 });
  await trainer.update({ rate: 1e-5 });
  const said = await trainer.predict(['a text', { text: 'a text' }]);
  same<typeof said, Logits[]>(true);
  const files = await trainer.export();
  await pipeline('text-classification', { model: (file) => files.get(file) as Uint8Array<ArrayBuffer> | undefined });
  same<typeof TrainError, typeof ClozeError>(true);
  await trainer.dispose();

  // @ts-expect-error: a step has a rate
  await trainer.step(examples);
  // @ts-expect-error: a text has a label
  await trainer.step({ text: 'a text' }, { rate: 1e-5 });
  // @ts-expect-error: no such method
  await train('fill-mask', { model: 'owner/name', method: 'some' });
  // @ts-expect-error: it has no head that is trained
  await train('feature-extraction', { model: 'owner/name' });

  const tag = await train('token-classification', { model: 'owner/name', labels: ['O', 'B-PER'] });
  await tag.step({ words: ['Ada'], tags: ['B-PER'] }, { rate: 1e-5 });
  // @ts-expect-error: there is no model to train by default
  await train('question-answering', {});
  const answer = await train('question-answering', 'owner/name', { method: 'lora', loraR: 4 });
  await answer.export({ base: 'owner/name', merged: true });
  // @ts-expect-error: a question says its answer, or that it has none
  await answer.step({ question: 'Who?', context: 'Ada.' }, { rate: 1e-5 });
  await answer.step({ question: 'Who?', context: 'Ada.', answer: { text: 'Ada', start: 0 } }, { rate: 1e-5 });
  const fill = await train('fill-mask', { model: 'owner/name' });
  await fill.step(['a text', 'another'], { rate: 1e-5 });
}
