/** Shows a model and its loading, and lets the visitor take another one. */

import { el, isAbort, messageOf, Status } from './dom.ts';
import * as format from './format.ts';
import { isStored } from './model.ts';
import type { Model, Task } from './model.ts';

const note = (text: string): HTMLElement => el('p', { className: 'note', textContent: text });

/** Whether the page's own policy keeps it from this address: what would be said of it is that there is no network. */
function isBarred(name: string): boolean {
  if (!/^(https?:)?\/\//i.test(name) || !URL.canParse(name, document.baseURI)) return false;
  const { protocol, origin } = new URL(name, document.baseURI);
  return protocol === 'http:' && origin !== location.origin;
}

export class ModelPicker<T extends Task> {
  #name = el('span', { className: 'model-name' });
  #state = el('span', { className: 'model-state' });
  #load = el('button', { type: 'button', className: 'quiet', textContent: 'Load now' });
  #cancel = el('button', { type: 'button', className: 'stop', textContent: 'Cancel' });
  #progress = el('progress', { max: 1, ariaLabel: 'Progress of loading the model' });
  #status: Status;
  #details: HTMLDetailsElement;
  #input: HTMLInputElement;
  /** Whether the included model is on this device. */
  isStored = false;
  onlook: () => void = () => {};

  /**
   * @param suggestion a Hub id that would do
   * @param wanted what a model must be able to do, for people
   */
  constructor(
    place: HTMLElement,
    private readonly model: Model<T>,
    suggestion: string,
    wanted: string,
  ) {
    const line = el('p', { className: 'status', role: 'status' });
    this.#status = new Status(line);
    const id = `model-${model.task}`;
    this.#input = el('input', {
      id,
      type: 'text',
      placeholder: suggestion,
      spellcheck: false,
      autocapitalize: 'off',
      maxLength: 500,
    });
    const folder = el('input', { type: 'file', hidden: true, webkitdirectory: true, multiple: true });
    const use = el('button', { type: 'submit', className: 'quiet', textContent: 'Use' });
    const choose = el('button', { type: 'button', className: 'quiet', textContent: 'Choose a folder' });
    const back = el('button', { type: 'button', className: 'quiet', textContent: 'Back to the included model' });
    back.hidden = !model.included;
    const form = el(
      'form',
      { className: 'model-form', autocomplete: 'off' },
      el('label', { htmlFor: id, textContent: 'Hugging Face id, or the address of a folder' }),
      el('div', { className: 'ask-row' }, this.#input, use),
    );
    this.#details = el(
      'details',
      {},
      el('summary', { textContent: model.included ? 'Use another model' : 'Choose a model' }),
      note(`${wanted} It needs config.json, model.safetensors and vocab.txt or tokenizer.json.`),
      form,
      el('div', { className: 'row' }, choose, back),
      folder,
      note(
        'The page reads a folder from your disk in place: its files, like your text, never leave this page. It downloads ' +
          'a Hugging Face model once and keeps it on this device.',
      ),
    );
    this.#details.open = !model.included;
    place.append(
      el('p', { className: 'model-line' }, this.#name, this.#state, this.#load, this.#cancel),
      this.#progress,
      line,
      this.#details,
    );

    this.#load.addEventListener('click', () => void this.#start());
    this.#cancel.addEventListener('click', () => model.cancel());
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      const name = this.#input.value.trim();
      if (name === '') return this.#status.say('Write the name or the address of a model first.', 'problem');
      if (isBarred(name)) {
        return this.#status.say('This page reads models from https:// addresses and its own host alone.', 'problem');
      }
      model.choose({ kind: 'named', name });
      void this.#start();
    });
    choose.addEventListener('click', () => folder.click());
    folder.addEventListener('change', () => {
      const files = [...(folder.files ?? [])];
      folder.value = '';
      if (files.length > 0) this.take(files, files[0]?.webkitRelativePath.split('/')[0] ?? 'folder');
    });
    back.addEventListener('click', () => {
      if (model.included) model.choose({ kind: 'included', included: model.included });
      this.#status.say('');
    });
    model.onchange = () => {
      this.draw();
      if (model.stage.stage !== 'ready') return;
      this.#details.open = false;
      if (!this.isStored) void this.look();
    };
    this.draw();
  }

  /** Loads the model in these files. */
  take(files: File[], name: string): void {
    this.model.choose({ kind: 'folder', name, files });
    void this.#start();
  }

  /** Opens the choice, for a visitor who has none yet. */
  invite(): void {
    this.#details.open = true;
    this.#input.focus();
  }

  /** Looks whether an included model is already on this device. */
  async look(): Promise<void> {
    const { included } = this.model;
    this.isStored = included !== undefined && (await isStored(included).catch(() => false));
    this.draw();
    this.onlook();
  }

  async #start(): Promise<void> {
    this.#status.say('');
    try {
      const { model } = await this.model.get();
      this.#status.say(`${model.name} is loaded.`, 'heard');
    } catch (error) {
      if (isAbort(error)) this.#status.say('Loading was stopped. The part that was loaded is kept.');
      else this.#status.say(messageOf(error), 'problem');
    }
  }

  draw(): void {
    const { stage, choice } = this.model;
    this.#name.textContent = choice.kind === 'none' ? 'No model yet' : this.model.name;
    const isLoading = stage.stage === 'loading';
    this.#load.hidden = isLoading || stage.stage === 'ready' || choice.kind === 'none';
    this.#cancel.hidden = !isLoading;
    this.#progress.hidden = !isLoading;
    switch (stage.stage) {
      case 'loading': {
        const { loaded, total } = stage;
        this.#state.textContent = total ? `${format.bytes(loaded)} of ${format.bytes(total)}` : format.bytes(loaded);
        if (total) this.#progress.value = loaded / total;
        break;
      }
      case 'ready':
        this.#state.textContent = `ready, on ${format.device(this.model.pipeline?.device ?? '')}`;
        break;
      case 'failed':
        this.#state.textContent = 'cannot be loaded';
        break;
      case 'empty':
        this.#state.textContent =
          choice.kind !== 'included'
            ? ''
            : this.isStored
              ? 'already on this device'
              : `${format.bytes(choice.included.bytes)}, downloaded once`;
    }
  }
}
