/**
 * A text on the page, of any length: in blocks, each one text node, that the browser lays out when they come into view.
 * Places are in UTF-16 units of the whole text. The frame is what scrolls, and is positioned.
 */

import { el, isCalm } from './dom.ts';

/** Units of a block, at most: small enough to lay out in a frame. */
const BLOCK = 3000;

interface Block {
  start: number;
  end: number;
  element: HTMLElement;
}

export class TextView {
  #text = '';
  #blocks: Block[] = [];
  #marked: Block[] = [];
  #drawing = 0;
  /** Blocks that are on the page. */
  #drawn = 0;
  /** Called when all of a text is on the page. */
  ondrawn: () => void = () => {};

  constructor(readonly frame: HTMLElement) {}

  /** Shows a text. A long one comes in pieces, so that the page goes on meanwhile. */
  show(text: string): void {
    this.#text = text;
    this.#marked = [];
    const element = (): HTMLElement => el('div', { className: 'block', dir: 'auto' });
    this.#blocks = cut(text).map(([start, end]) => ({ start, end, element: element() }));
    this.frame.replaceChildren();
    this.frame.scrollTop = 0;
    const drawing = ++this.#drawing;
    this.#drawn = 0;
    const draw = (): void => {
      if (drawing !== this.#drawing) return;
      const some = this.#blocks.slice(this.#drawn, this.#drawn + 200);
      this.#drawn += some.length;
      for (const block of some) if (!this.#marked.includes(block)) this.#plain(block);
      this.frame.append(...some.map(({ element }) => element));
      if (this.#drawn < this.#blocks.length) setTimeout(draw);
      else this.ondrawn();
    };
    draw();
  }

  /** Marks a place, and nothing else. */
  mark(start: number, end: number): void {
    for (const block of this.#marked) this.#plain(block);
    this.#marked = this.#blocks.filter((block) => block.start < end && block.end > start);
    for (const block of this.#marked) {
      const from = Math.max(start, block.start);
      const to = Math.min(end, block.end);
      const marked = el('mark', {}, this.#text.slice(from, to));
      block.element.replaceChildren(this.#text.slice(block.start, from), marked, this.#text.slice(to, block.end));
    }
  }

  unmark(): void {
    for (const block of this.#marked) this.#plain(block);
    this.#marked = [];
  }

  /** Brings a place into view: within the text's frame, and the frame itself if it is out of sight. */
  reveal(at: number): void {
    const block = this.#blockAt(at);
    if (!block) return;
    const height = this.frame.clientHeight;
    const there = (): number => this.#topOf(block, at) - height / 3;
    if (this.#isInView(there() + height / 3, height)) return this.#show();
    const far = Math.abs(there() - this.frame.scrollTop) > 2 * height;
    if (far || isCalm()) {
      // Blocks on the way are laid out as they come into view, which moves those below them: once more from nearby.
      this.frame.scrollTop = there();
      requestAnimationFrame(() => {
        this.frame.scrollTop = there();
      });
    } else {
      this.frame.scrollTo({ top: there(), behavior: 'smooth' });
    }
    this.#show();
  }

  /** Whether a line, in pixels from the top of what scrolls, is well within the frame. */
  #isInView(y: number, height: number): boolean {
    const below = y - this.frame.scrollTop;
    return below > 16 && below < height - 64;
  }

  /** Brings the frame itself into view. */
  #show(): void {
    const { top, bottom } = this.frame.getBoundingClientRect();
    if (bottom < 80 || top > innerHeight - 80) {
      this.frame.scrollIntoView({ block: 'start', behavior: isCalm() ? 'instant' : 'smooth' });
    }
  }

  /** The part of the text that is in view, as fractions of its length. */
  visible(): [number, number] {
    const { scrollTop, clientHeight } = this.frame;
    return [this.#fractionAt(scrollTop), this.#fractionAt(scrollTop + clientHeight)];
  }

  /** What the visitor has selected in the text. */
  selection(): [number, number] | undefined {
    const selected = getSelection();
    if (!selected || selected.rangeCount === 0 || selected.isCollapsed) return undefined;
    const { startContainer, startOffset, endContainer, endOffset } = selected.getRangeAt(0);
    const start = this.#offsetOf(startContainer, startOffset);
    const end = this.#offsetOf(endContainer, endOffset);
    return start !== undefined && end !== undefined && end > start ? [start, end] : undefined;
  }

  #plain(block: Block): void {
    block.element.replaceChildren(this.#text.slice(block.start, block.end));
  }

  #blockAt(at: number): Block | undefined {
    return this.#blocks.find(({ end }) => at < end) ?? this.#blocks.at(-1);
  }

  /** Where a place is, in pixels from the top of what scrolls. */
  #topOf(block: Block, at: number): number {
    const frame = this.frame.getBoundingClientRect().top - this.frame.scrollTop;
    let left = at - block.start;
    for (const node of texts(block.element)) {
      if (left < node.data.length) {
        const range = document.createRange();
        range.setStart(node, left);
        range.setEnd(node, left + 1);
        const rect = range.getBoundingClientRect();
        // A block that is not laid out yet has no lines.
        if (rect.height > 0) return rect.top - frame;
        break;
      }
      left -= node.data.length;
    }
    const { top, height } = block.element.getBoundingClientRect();
    return top - frame + (height * (at - block.start)) / Math.max(1, block.end - block.start);
  }

  #fractionAt(y: number): number {
    if (this.#text.length === 0) return 0;
    let [low, high] = [0, this.#drawn - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#blocks[middle]?.element.offsetTop ?? 0) <= y) low = middle;
      else high = middle - 1;
    }
    const block = this.#blocks[low];
    if (!block) return 0;
    const { offsetTop, offsetHeight } = block.element;
    const within = Math.min(1, Math.max(0, (y - offsetTop) / Math.max(1, offsetHeight)));
    return (block.start + within * (block.end - block.start)) / this.#text.length;
  }

  #offsetOf(node: Node, offset: number): number | undefined {
    const block = this.#blocks.find(({ element }) => element.contains(node));
    if (!block) return undefined;
    if (!(node instanceof Text)) return offset === 0 ? block.start : block.end;
    let at = block.start;
    for (const text of texts(block.element)) {
      if (text === node) return at + offset;
      at += text.data.length;
    }
    return undefined;
  }
}

function* texts(element: HTMLElement): Generator<Text> {
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) yield node as Text;
}

/** Where blocks begin and end: after line breaks, and where there is none for long, after a space. */
function cut(text: string): [number, number][] {
  const blocks: [number, number][] = [];
  for (let start = 0; start < text.length;) {
    let end = Math.min(text.length, start + BLOCK);
    if (end < text.length) {
      // In the block alone: a text of 20 MB may be one line.
      const block = text.slice(start, end);
      const line = block.lastIndexOf('\n');
      const space = block.lastIndexOf(' ');
      if (line >= 0) end = start + line + 1;
      else if (space > 0) end = start + space + 1;
      else if (/[\udc00-\udfff]/.test(text.charAt(end))) end -= 1;
    }
    blocks.push([start, end]);
    start = end;
  }
  return blocks;
}
