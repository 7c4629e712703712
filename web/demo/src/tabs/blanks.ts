/** The fill-mask tab. */

import type { Filled } from 'cloze';
import type { Desk } from '../desk.ts';
import { byId, el, messageOf, Status } from '../dom.ts';
import { Model } from '../model.ts';
import { showRanked } from '../ranked.ts';
import { noteCall } from '../report.ts';
import { Running } from '../run.ts';
import { eachSentence } from '../sentences.ts';

const MASK = '[MASK]';

/** Units around a selection in which its sentence is looked for. */
const AROUND = 2000;

export class Blanks {
  readonly model = new Model('fill-mask');
  #text = byId<HTMLTextAreaElement>('cloze');
  #status = new Status(byId('blanks-status'));
  #filled = byId('filled');
  #running: Running;

  constructor(private readonly desk: Desk) {
    this.#text.value = `The capital of France is ${MASK}.`;
    this.#running = new Running(byId('blanks-go'), byId('blanks-stop'), () => this.model.cancel());
    byId('blanks').addEventListener('submit', (event) => {
      event.preventDefault();
      void this.fill();
    });
    const blank = byId('blank-word');
    // Pressing the button must not take the selection away.
    blank.addEventListener('mousedown', (event) => event.preventDefault());
    blank.addEventListener('click', () => this.#blank());
  }

  /** Takes the sentence around what is selected in the text, or blanks what is selected in the field. */
  #blank(): void {
    const selected = this.desk.view.selection();
    const { selectionStart, selectionEnd, value } = this.#text;
    if (selected) {
      const [start, end] = selected;
      const { text } = this.desk.text;
      // What is around it will do: the whole may be a book.
      const from = Math.max(text.lastIndexOf('\n', start), start - AROUND, 0);
      const sentences = eachSentence(text.slice(from, end + AROUND));
      const around = [...sentences].find((sentence) => sentence.start <= start - from && end - from <= sentence.end);
      if (!around) return this.#status.say('Select a word within one sentence.', 'problem');
      this.#text.value = text.slice(from + around.start, start) + MASK + text.slice(end, from + around.end);
    } else if (selectionEnd > selectionStart) {
      this.#text.value = value.slice(0, selectionStart) + MASK + value.slice(selectionEnd);
    } else {
      return this.#status.say('Select a word first, in the text or in the field.', 'problem');
    }
    this.#status.say('');
    this.#text.focus();
  }

  async fill(): Promise<void> {
    const text = this.#text.value.trim();
    if (!text.includes(MASK)) return this.#status.say(`Write ${MASK} where a word is missing.`, 'problem');
    if (this.model.choice.kind === 'none') return this.#status.say('Choose a model below first.', 'problem');
    try {
      const filled = await this.#running.run(async (signal) => {
        this.#status.say('Loading the model…');
        const fill = await this.model.get();
        signal.throwIfAborted();
        this.#status.say('Reading…');
        const began = performance.now();
        const words = await fill(text, { topK: 5, signal });
        noteCall('fill-mask', performance.now() - began);
        return words;
      });
      if (!filled) return this.#running.busy ? undefined : this.#status.say('Stopped.');
      this.#show(filled);
    } catch (error) {
      if (this.model.failed(error)) this.#status.say(messageOf(error), 'problem');
      else this.#status.say('Stopped.');
    }
  }

  #show(words: Filled[]): void {
    const masks = [...new Set(words.map(({ mask }) => mask))];
    const sequence = el('p', { className: 'sequence', dir: 'auto' });
    const lists = masks.map((mask) => {
      const list = el('ol', { className: 'answers', ariaLabel: `Words for blank ${mask + 1}` });
      const mine = words.filter((word) => word.mask === mask).map((word) => ({ ...word, text: word.token }));
      showRanked(list, mine, (word) => {
        sequence.textContent = word.sequence;
      });
      return masks.length === 1 ? [list] : [el('h3', { textContent: `Blank ${mask + 1}` }), list];
    });
    sequence.textContent = words[0]?.sequence ?? '';
    this.#filled.replaceChildren(sequence, ...lists.flat());
    if (words[0]) this.#status.say(`The likeliest word: ${words[0].token}`, 'heard');
    else this.#status.say('The model found no word.');
  }
}
