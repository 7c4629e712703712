/** Search by meaning over the text's sentences. */

import type { FeatureExtraction } from 'cloze';
import type { Desk, Text } from '../desk.ts';
import { byId, messageOf, Status } from '../dom.ts';
import * as format from '../format.ts';
import { heatOf } from '../heat.ts';
import type { Heat, HeatStrip } from '../heat.ts';
import { Model } from '../model.ts';
import type { Included } from '../model.ts';
import { showRanked } from '../ranked.ts';
import { noteCall } from '../report.ts';
import { Running } from '../run.ts';
import { readSentences } from '../sentences.ts';
import type { Sentence } from '../sentences.ts';

/** Sentences that are embedded at once: between two, the page hears of a stop. */
const BATCH = 32;

const TOP = 8;

interface Scored extends Sentence {
  score: number;
}

/** A text's sentences and their vectors, one after the other, of length 1. */
interface Index {
  text: Text;
  encoder: FeatureExtraction;
  sentences: Sentence[];
  vectors: Float32Array;
  width: number;
  /** Sentences that have a vector. */
  done: number;
}

const included: Included | undefined = ENCODER ? { title: 'MiniLM-L6, sentences', ...ENCODER } : undefined;

export class Search {
  readonly model = new Model('feature-extraction', included);
  #query = byId<HTMLInputElement>('query');
  #status = new Status(byId('search-status'));
  #progress = byId<HTMLProgressElement>('search-progress');
  #found = byId('found');
  #running: Running;
  #index: Index | undefined;
  #heat: Heat | undefined;
  #chosen: Sentence | undefined;
  /** Whether what was found has not been shown: the visitor was at another tab. */
  #isNew = false;

  constructor(
    private readonly desk: Desk,
    private readonly strip: HeatStrip,
  ) {
    this.#running = new Running(byId('search-go'), byId('search-stop'), () => this.model.cancel());
    byId('search').addEventListener('submit', (event) => {
      event.preventDefault();
      void this.search();
    });
  }

  textChanged(): void {
    this.#running.cancel();
    this.#found.replaceChildren();
    this.#heat = undefined;
    this.#chosen = undefined;
    this.#status.say('');
  }

  /** The tab comes to the front: what it has marked is marked again. */
  shown(): void {
    if (this.#heat) this.strip.show(this.#heat, 'How close each sentence is');
    if (this.#chosen) this.#point(this.#chosen, this.#isNew);
    this.#isNew = false;
  }

  async search(): Promise<void> {
    this.desk.commit();
    const query = this.#query.value.trim();
    if (query === '') return this.#status.say('Write what to look for first.', 'problem');
    if (this.model.choice.kind === 'none') return this.#status.say('Choose a model below first.', 'problem');
    try {
      const found = await this.#running.run(async (signal) => {
        this.#status.say('Loading the model…');
        const encoder = await this.model.get();
        signal.throwIfAborted();
        const index = await this.#indexed(encoder, signal);
        const began = performance.now();
        const wanted = await encoder(query, { signal });
        noteCall('feature-extraction', performance.now() - began);
        return rank(index, wanted);
      });
      if (!found)
        return this.#running.busy ? undefined : this.#status.say('Stopped. The sentences read so far are kept.');
      const { length } = this.desk.text.text;
      const share = ({ start, end, score }: Scored) => ({ from: start / length, to: end / length, share: score });
      this.#heat = heatOf(found.map(share));
      const best = found.slice(0, TOP);
      this.#chosen = best[0];
      showRanked(this.#found, best, (one) => this.#point(one));
      this.#status.say(`${format.count(this.#index?.sentences.length ?? 0)} sentences, the closest first.`);
      this.#isNew = true;
      if (!byId('panel-search').hidden) this.shown();
    } catch (error) {
      if (this.model.failed(error)) this.#status.say(messageOf(error), 'problem');
      else this.#status.say('Stopped.');
    } finally {
      if (!this.#running.busy) this.#progress.hidden = true;
    }
  }

  /** The text's index: made once, and gone on with where it was stopped. */
  async #indexed(encoder: FeatureExtraction, signal: AbortSignal): Promise<Index> {
    const { text } = this.desk;
    if (this.#index?.text !== text || this.#index.encoder !== encoder) {
      const sentences = await readSentences(text.text, signal);
      if (sentences.length === 0) throw new Error('There is no text yet. Paste one, or choose a sample.');
      this.#index = { text, encoder, sentences, vectors: new Float32Array(), width: 0, done: 0 };
    }
    const index = this.#index;
    const from = index.done;
    const began = performance.now();
    while (index.done < index.sentences.length) {
      const some = index.sentences.slice(index.done, index.done + BATCH);
      const vectors = await encoder(
        some.map((sentence) => sentence.text),
        { signal },
      );
      if (index.width === 0) {
        index.width = vectors[0]?.length ?? 0;
        index.vectors = new Float32Array(index.width * index.sentences.length);
      }
      for (const [i, vector] of vectors.entries()) index.vectors.set(vector, (index.done + i) * index.width);
      index.done += some.length;
      signal.throwIfAborted();
      const left = ((performance.now() - began) / (index.done - from)) * (index.sentences.length - index.done);
      this.#progress.hidden = false;
      this.#progress.value = index.done / index.sentences.length;
      this.#status.say(
        `Read ${format.count(index.done)} of ${format.count(index.sentences.length)} sentences` +
          `${left > 2000 ? `; about ${format.about(left)} left` : ''}.`,
      );
    }
    if (index.done > from) noteCall('feature-extraction', performance.now() - began);
    return index;
  }

  #point(chosen: Sentence, reveal = true): void {
    this.#chosen = chosen;
    const { start, end } = chosen;
    const { length } = this.desk.text.text;
    this.desk.view.mark(start, end);
    if (reveal) this.desk.view.reveal(start);
    this.strip.answer(start / length, end / length);
  }
}

/** All sentences, the closest first; scores are cosines. */
function rank({ sentences, vectors, width }: Index, wanted: Float32Array): Scored[] {
  const scored = sentences.map((sentence, i) => {
    let score = 0;
    for (let k = 0; k < width; k++) score += (vectors[i * width + k] ?? 0) * (wanted[k] ?? 0);
    return { ...sentence, score };
  });
  return scored.sort((a, b) => b.score - a.score);
}
