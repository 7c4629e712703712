/** A text's sentences and their places. */

export interface Sentence {
  start: number;
  end: number;
  text: string;
}

/** Units of a sentence, at most: what has no end for that long is a table or noise. */
const MOST = 1000;

/** Sentences without the space around them; line breaks that part paragraphs end one too. */
export function* eachSentence(text: string): Generator<Sentence> {
  function* take(from: number, to: number): Generator<Sentence> {
    const piece = text.slice(from, to);
    const start = from + piece.length - piece.trimStart().length;
    const end = from + piece.trimEnd().length;
    for (let at = start; at < end; at += MOST) {
      const until = Math.min(end, at + MOST);
      if (/[\p{L}\p{N}]/u.test(text.slice(at, until))) yield { start: at, end: until, text: text.slice(at, until) };
    }
  }
  const segmenter = new Intl.Segmenter(undefined, { granularity: 'sentence' });
  // Line by line: a segmenter takes the time of the square of what it is given at once in some browsers.
  for (let line = 0; line < text.length;) {
    const broken = text.indexOf('\n', line);
    const end = broken < 0 ? text.length : broken;
    for (const { index, segment } of segmenter.segment(text.slice(line, end))) {
      yield* take(line + index, line + index + segment.length);
    }
    line = end + 1;
  }
}

/** Milliseconds that reading may take from the page at a time. */
const SLICE = 12;

/** The sentences of a text of any length; the page goes on meanwhile. */
export async function readSentences(text: string, signal: AbortSignal): Promise<Sentence[]> {
  const found: Sentence[] = [];
  let since = performance.now();
  for (const sentence of eachSentence(text)) {
    found.push(sentence);
    if (performance.now() - since < SLICE) continue;
    await new Promise((resolve) => setTimeout(resolve));
    signal.throwIfAborted();
    since = performance.now();
  }
  return found;
}
