/** The questions that were asked, with their answers. They are gone when the page is. */

import type { Answer } from 'cloze';
import type { Text } from './desk.ts';
import { byId, el } from './dom.ts';
import type { Heat } from './heat.ts';

export interface Asked {
  text: Text;
  question: string;
  answers: Answer[];
  heat: Heat;
  tokens: number;
  took: number;
  device: string;
  reason: string;
  recoveries: number;
}

/** Older ones make room. */
const MOST = 100;

export class Kept {
  #all: Asked[] = [];
  #list = byId('kept-list');
  #section = byId('kept');

  constructor(private readonly shown: (asked: Asked) => void) {
    byId('kept-clear').addEventListener('click', () => {
      this.#all = [];
      this.#draw();
      byId('question').focus();
    });
  }

  get length(): number {
    return this.#all.length;
  }

  /** The newest comes first; who asks the same again has it once. */
  add(asked: Asked): void {
    const others = this.#all.filter((one) => one.text !== asked.text || one.question !== asked.question);
    this.#all = [asked, ...others].slice(0, MOST);
    this.#draw();
  }

  #draw(): void {
    this.#section.hidden = this.#all.length === 0;
    this.#list.replaceChildren(
      ...this.#all.map((asked) => {
        const again = el(
          'button',
          { type: 'button', className: 'kept-item' },
          el('span', { className: 'kept-question', dir: 'auto', textContent: asked.question }),
          el('span', { className: 'kept-answer', dir: 'auto', textContent: asked.answers[0]?.answer || 'no answer' }),
          el('span', { className: 'kept-text', dir: 'auto', textContent: asked.text.title }),
        );
        again.addEventListener('click', () => this.shown(asked));
        const remove = el('button', {
          type: 'button',
          className: 'remove',
          textContent: '×',
          ariaLabel: `Remove “${asked.question}”`,
        });
        remove.addEventListener('click', () => {
          this.#all = this.#all.filter((one) => one !== asked);
          this.#draw();
          const next = this.#list.querySelector('button') ?? byId('question');
          next.focus();
        });
        return el('li', {}, again, remove);
      }),
    );
  }
}
