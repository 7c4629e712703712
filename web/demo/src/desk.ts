/** The text on the desk: where it comes from, how it is shown, how it is changed. */

import { byId, el, messageOf, Status } from './dom.ts';
import * as format from './format.ts';
import { SAMPLES, textOf } from './samples.ts';
import type { Sample } from './samples.ts';
import { readText } from './text-source.ts';
import type { Source } from './text-source.ts';
import { TextView } from './text-view.ts';

/** Units that an editor still handles without a pause. */
const MOST_EDITED = 400_000;

/** A text that is asked about: the same object for as long as it is the same text. */
export interface Text extends Source {
  sample?: Sample;
}

export class Desk {
  text: Text = { title: 'No text yet', text: '' };
  readonly view = new TextView(byId('text'));
  readonly status = new Status(byId('desk-status'));
  /** Called when another text lies on the desk. */
  onchange: (text: Text) => void = () => {};
  #title = byId('title');
  #source = byId('source');
  #samples = byId<HTMLSelectElement>('sample');
  #editor = byId<HTMLFormElement>('editor');
  #draft = byId<HTMLTextAreaElement>('draft');
  #edit = byId<HTMLButtonElement>('edit');

  constructor() {
    this.#samples.append(el('option', { value: '', textContent: 'Samples…' }));
    for (const { id, title } of SAMPLES) this.#samples.append(el('option', { value: id, textContent: title }));
    this.#samples.addEventListener('change', () => {
      const sample = SAMPLES.find(({ id }) => id === this.#samples.value);
      this.#samples.value = '';
      if (sample) void this.sample(sample);
    });
    const picker = byId<HTMLInputElement>('file');
    byId('open').addEventListener('click', () => picker.click());
    picker.addEventListener('change', () => {
      const file = picker.files?.[0];
      picker.value = '';
      if (file) void this.open(file);
    });
    this.#edit.addEventListener('click', () => this.#beginEdit());
    byId('discard').addEventListener('click', () => this.#endEdit());
    this.#editor.addEventListener('submit', (event) => {
      event.preventDefault();
      this.commit();
    });
    document.addEventListener('paste', (event) => {
      const { target, clipboardData } = event;
      if (target instanceof HTMLInputElement || target instanceof HTMLTextAreaElement) return;
      const text = clipboardData?.getData('text/plain') ?? '';
      if (text.trim() === '') return;
      event.preventDefault();
      this.put({ title: 'Pasted text', text: text.replace(/\r\n?/g, '\n') });
    });
  }

  /** Lays a text on the desk. */
  put(text: Text): void {
    this.text = text;
    this.#endEdit();
    this.#title.textContent = text.title;
    this.#source.textContent = text.sample?.source ?? this.#describe();
    this.view.show(text.text);
    this.status.say('');
    this.onchange(text);
  }

  async sample(sample: Sample): Promise<void> {
    try {
      this.put({ title: sample.title, text: await textOf(sample), sample });
    } catch (error) {
      this.status.say(messageOf(error), 'problem');
    }
  }

  async open(file: File): Promise<void> {
    try {
      this.put(await readText(file));
      this.status.say(`Opened ${this.text.title}: ${this.#describe()}. It stays on this device.`);
    } catch (error) {
      this.status.say(messageOf(error), 'problem');
    }
  }

  /** Takes what is in the editor, if it is open. */
  commit(): void {
    if (this.#editor.hidden) return;
    const text = this.#draft.value;
    // A text that is too long to edit is not in the editor: who wrote nothing there has not taken it away.
    if (text === this.text.text || (text === '' && this.#isLong)) this.#endEdit();
    else this.put({ title: 'Your text', text });
  }

  #describe(): string {
    return `${format.count(this.text.text.length)} characters`;
  }

  get #isLong(): boolean {
    return this.text.text.length > MOST_EDITED;
  }

  #beginEdit(): void {
    this.#draft.value = this.#isLong ? '' : this.text.text;
    this.#toggle(true);
    this.#draft.focus();
    this.#draft.setSelectionRange(0, 0);
    if (this.#isLong) this.status.say('This text is too long to edit here. You can paste another.');
  }

  #endEdit(): void {
    if (this.#editor.hidden) return;
    const hadFocus = this.#editor.contains(document.activeElement);
    this.#toggle(false);
    this.#draft.value = '';
    if (hadFocus) this.#edit.focus();
  }

  #toggle(editing: boolean): void {
    this.#editor.hidden = !editing;
    this.view.frame.hidden = editing;
    this.#edit.hidden = editing;
  }
}
