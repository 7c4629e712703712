/** Lists of places in the text with their scores, the best first. */

import { bar, el } from './dom.ts';
import * as format from './format.ts';

export interface Ranked {
  text: string;
  score: number;
}

/** Fills `list`; a click on one says which. The first is the chosen one. */
export function showRanked<R extends Ranked>(list: HTMLElement, all: readonly R[], chosen: (one: R) => void): void {
  const buttons = all.map((one) => {
    const button = el(
      'button',
      { type: 'button', className: 'ranked' },
      el('span', { className: 'ranked-text', dir: 'auto', textContent: one.text }),
      el('span', { className: 'ranked-score', textContent: format.score(one.score) }),
      bar(one.score),
    );
    button.addEventListener('click', () => {
      choose(button);
      chosen(one);
    });
    return button;
  });
  const choose = (button: HTMLElement | undefined): void => {
    for (const other of buttons) other.ariaCurrent = String(other === button);
  };
  choose(buttons[0]);
  list.replaceChildren(...buttons.map((button) => el('li', {}, button)));
}
