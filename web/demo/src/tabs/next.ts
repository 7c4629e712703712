/** The next sentence tab. */

import type { Desk } from '../desk.ts';
import { bar, byId, el, messageOf, Status } from '../dom.ts';
import * as format from '../format.ts';
import { Model } from '../model.ts';
import { noteCall } from '../report.ts';
import { Running } from '../run.ts';
import { eachSentence } from '../sentences.ts';

export class Next {
  readonly model = new Model('next-sentence');
  #first = byId<HTMLTextAreaElement>('first');
  #second = byId<HTMLTextAreaElement>('second');
  #status = new Status(byId('next-status'));
  #judged = byId('judged');
  #running: Running;
  /** Which pair of the text comes next. */
  #pair = 0;

  constructor(private readonly desk: Desk) {
    this.#first.value = 'She added seven notes to the article.';
    this.#second.value = 'Together they are three times as long as the article itself.';
    this.#running = new Running(byId('next-go'), byId('next-stop'), () => this.model.cancel());
    byId('next').addEventListener('submit', (event) => {
      event.preventDefault();
      void this.judge();
    });
    byId('next-pair').addEventListener('click', () => this.#take());
  }

  #take(): void {
    // The beginning of a long text will do.
    const sentences = [...eachSentence(this.desk.text.text.slice(0, 50_000))];
    if (sentences.length < 2) return this.#status.say('The text does not have two sentences.', 'problem');
    this.#pair %= sentences.length - 1;
    this.#first.value = sentences[this.#pair]?.text ?? '';
    this.#second.value = sentences[this.#pair + 1]?.text ?? '';
    this.#pair += 1;
    this.#status.say('');
  }

  async judge(): Promise<void> {
    const [first, second] = [this.#first.value.trim(), this.#second.value.trim()];
    if (first === '' || second === '') return this.#status.say('Write two sentences first.', 'problem');
    if (this.model.choice.kind === 'none') return this.#status.say('Choose a model below first.', 'problem');
    try {
      const judged = await this.#running.run(async (signal) => {
        this.#status.say('Loading the model…');
        const judge = await this.model.get();
        signal.throwIfAborted();
        this.#status.say('Reading…');
        const began = performance.now();
        const result = await judge(first, second, { signal });
        noteCall('next-sentence', performance.now() - began);
        return result;
      });
      if (!judged) return this.#running.busy ? undefined : this.#status.say('Stopped.');
      const { isNext } = judged;
      this.#judged.replaceChildren(
        el(
          'p',
          { className: 'verdict' },
          el('span', { className: 'ranked-text', textContent: isNext >= 0.5 ? 'It follows.' : 'It does not follow.' }),
          el('span', { className: 'ranked-score', textContent: format.score(isNext) }),
          bar(isNext),
        ),
      );
      this.#status.say(`The probability that the second follows the first is ${format.score(isNext)}.`, 'heard');
    } catch (error) {
      if (this.model.failed(error)) this.#status.say(messageOf(error), 'problem');
      else this.#status.say('Stopped.');
    }
  }
}
