/**
 * The heat strip: over the whole text, how likely the answer starts (upwards) and ends (downwards) at each place.
 *
 * Most probabilities are tiny, and what is interesting is where they are not: heights are logarithmic, from 1 in 10,000
 * to certainty.
 */

import type { TokenScores } from 'cloze';

/** However long a text, its heat is kept in so many columns. */
const COLUMNS = 2048;

const LEAST = 1e-4;

export interface Heat {
  start: Float32Array;
  end: Float32Array;
}

/** The greatest probabilities in each column of a text of `length` units. */
export function condense({ start, end, startScore, endScore }: TokenScores, length: number): Heat {
  const heat = { start: new Float32Array(COLUMNS), end: new Float32Array(COLUMNS) };
  const scale = COLUMNS / Math.max(1, length);
  for (let i = 0; i < start.length; i++) {
    const first = Math.floor((start[i] ?? 0) * scale);
    const last = Math.max(first + 1, Math.ceil((end[i] ?? 0) * scale));
    for (let column = first; column < last && column < COLUMNS; column++) {
      heat.start[column] = Math.max(heat.start[column] ?? 0, startScore[i] ?? 0);
      heat.end[column] = Math.max(heat.end[column] ?? 0, endScore[i] ?? 0);
    }
  }
  return heat;
}

/** A heat whose heights are `shares` of the whole, each from one place to another; fractions of the text. */
export function heatOf(shares: readonly { from: number; to: number; share: number }[]): Heat {
  const heat = { start: new Float32Array(COLUMNS), end: new Float32Array(COLUMNS) };
  for (const { from, to, share } of shares) {
    const value = share <= 0 ? 0 : LEAST ** (1 - Math.min(1, share));
    const first = Math.floor(from * COLUMNS);
    const last = Math.max(first + 1, Math.floor(to * COLUMNS));
    for (let column = first; column < last; column++) heat.start[column] = Math.max(heat.start[column] ?? 0, value);
  }
  return heat;
}

function height(probability: number): number {
  return Math.max(0, 1 - Math.log10(Math.max(LEAST, probability)) / Math.log10(LEAST));
}

export class HeatStrip {
  #heat: Heat | undefined;
  /** Fractions of the text: what is in view, and the answer. */
  #visible: [number, number] = [0, 1];
  #answer: [number, number] | undefined;
  #pending = false;

  /**
   * @param colours elements whose colours are those of the start, the end, the answer, and the lines
   * @param go brings the place at a fraction of the text into view
   */
  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly colours: Record<'start' | 'end' | 'answer' | 'line', HTMLElement>,
    go: (fraction: number) => void,
  ) {
    new ResizeObserver(() => this.redraw()).observe(canvas);
    canvas.addEventListener('click', ({ offsetX }) => go(offsetX / canvas.clientWidth));
    canvas.addEventListener('keydown', (event) => {
      const [from, to] = this.#visible;
      const step = Math.max(0.01, (to - from) / 2);
      const at = {
        ArrowLeft: from - step,
        ArrowDown: from - step,
        ArrowRight: from + step,
        ArrowUp: from + step,
        Home: 0,
        End: 1,
      }[event.key];
      if (at === undefined) return;
      event.preventDefault();
      go(Math.min(1, Math.max(0, at)));
    });
  }

  /** @param word what its heights say, for people, if it is not how likely answers start and end */
  show(heat: Heat | undefined, word?: string): void {
    this.#heat = heat;
    this.colours.start.hidden = this.colours.end.hidden = word !== undefined;
    this.#answer = undefined;
    this.colours.line.textContent = word ?? 'How likely the answer is at each place in the text';
    this.redraw();
  }

  /** The place that is chosen, in fractions of the text. */
  answer(start: number, end: number): void {
    this.#answer = [start, end];
    this.redraw();
  }

  visible(from: number, to: number): void {
    this.#visible = [from, to];
    const percent = Math.round(100 * from);
    this.canvas.ariaValueNow = String(percent);
    this.canvas.ariaValueText = `${percent} % of the text`;
    this.redraw();
  }

  redraw(): void {
    if (this.#pending) return;
    this.#pending = true;
    requestAnimationFrame(() => {
      this.#pending = false;
      this.#draw();
    });
  }

  #draw(): void {
    const { canvas } = this;
    const dense = Math.min(3, devicePixelRatio || 1);
    const [width, tall] = [Math.round(canvas.clientWidth * dense), Math.round(canvas.clientHeight * dense)];
    const context = canvas.getContext('2d');
    if (!context || width === 0) return;
    if (canvas.width !== width || canvas.height !== tall) [canvas.width, canvas.height] = [width, tall];
    const colour = (of: keyof typeof this.colours): string => getComputedStyle(this.colours[of]).color;
    const middle = Math.round(tall / 2);
    context.clearRect(0, 0, width, tall);

    if (this.#answer) {
      const [from, to] = this.#answer;
      const wide = Math.max(5 * dense, (to - from) * width);
      context.fillStyle = colour('answer');
      context.globalAlpha = 0.55;
      context.fillRect(((from + to) / 2) * width - wide / 2, 0, wide, tall);
    }
    context.fillStyle = colour('line');
    context.globalAlpha = 0.35;
    context.fillRect(0, middle - dense / 2, width, dense);
    context.globalAlpha = 1;
    if (this.#heat) {
      this.#spikes(context, this.#heat.start, colour('start'), middle, -1, width, dense);
      this.#spikes(context, this.#heat.end, colour('end'), middle, 1, width, dense);
    }
    const [from, to] = this.#visible;
    if (to - from < 0.995) {
      context.strokeStyle = colour('line');
      context.globalAlpha = 0.7;
      context.lineWidth = dense;
      const wide = Math.max(4 * dense, (to - from) * width);
      context.strokeRect(from * width + dense / 2, dense / 2, Math.min(wide, width) - dense, tall - dense);
      context.globalAlpha = 1;
    }
  }

  /** One bar for each two pixels, with the greatest value below it. */
  #spikes(
    context: CanvasRenderingContext2D,
    values: Float32Array,
    colour: string,
    middle: number,
    way: 1 | -1,
    width: number,
    dense: number,
  ): void {
    const step = 2 * dense;
    const room = middle - 3 * dense;
    context.fillStyle = colour;
    for (let x = 0; x < width; x += step) {
      const first = Math.floor((x / width) * values.length);
      const last = Math.max(first + 1, Math.floor(((x + step) / width) * values.length));
      let most = 0;
      for (let i = first; i < last; i++) most = Math.max(most, values[i] ?? 0);
      const share = height(most);
      if (share === 0) continue;
      context.globalAlpha = 0.25 + 0.75 * share;
      const tall = Math.max(dense, share * room);
      context.fillRect(x, way < 0 ? middle - dense - tall : middle + dense, step - 0.4 * dense, tall);
    }
    context.globalAlpha = 1;
  }
}
