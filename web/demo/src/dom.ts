/** Small help with the DOM. What a visitor gives becomes text nodes and properties, never markup. */

/** The element that the page has by this id. */
export function byId<E extends HTMLElement = HTMLElement>(id: string): E {
  const found = document.getElementById(id);
  if (!found) throw new Error(`index.html has no #${id}`);
  return found as E;
}

type Child = Node | string;

/** An element with properties and children; strings become text nodes. */
export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Partial<HTMLElementTagNameMap[K]> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

export function isCalm(): boolean {
  return matchMedia('(prefers-reduced-motion: reduce)').matches;
}

/** Two frames on: what was asked of the DOM has been painted. */
export function painted(): Promise<void> {
  return new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
}

/** Says something where the visitor, or a screen reader, notices it. */
export class Status {
  constructor(private readonly line: HTMLElement) {}

  /** What is `heard` stands elsewhere for who sees the page. */
  say(text: string, kind: 'plain' | 'problem' | 'heard' = 'plain'): void {
    this.line.textContent = text;
    this.line.classList.toggle('problem', kind === 'problem');
    this.line.classList.toggle('visually-hidden', kind === 'heard');
  }
}

/** A bar between 0 and 1, for the eye alone: what it shows is written beside it. */
export function bar(share: number): HTMLElement {
  const fill = el('span', { className: 'bar-fill' });
  fill.style.width = `${(100 * Math.min(1, Math.max(0, share))).toFixed(1)}%`;
  const frame = el('span', { className: 'bar' }, fill);
  frame.ariaHidden = 'true';
  return frame;
}

export function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError';
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
