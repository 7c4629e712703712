/** A text's sentences and their places. */

export interface Sentence {
  start: number;
  end: number;
  text: string;
}

/** Units of a sentence, at most: what has no end for that long is a table or noise. */
const MOST = 1000;

/** Sentences without the space around them; line breaks that part paragraphs end one too. */
export function sentencesOf(text: string): Sentence[] {
  const found: Sentence[] = [];
  const take = (from: number, to: number): void => {
    const piece = text.slice(from, to);
    const start = from + piece.length - piece.trimStart().length;
    const end = from + piece.trimEnd().length;
    for (let at = start; at < end; at += MOST) {
      const until = Math.min(end, at + MOST);
      if (/[\p{L}\p{N}]/u.test(text.slice(at, until))) found.push({ start: at, end: until, text: text.slice(at, until) });
    }
  };
  const segmenter = new Intl.Segmenter(undefined, { granularity: 'sentence' });
  // Line by line: a segmenter takes the time of the square of what it is given at once in some browsers.
  for (let line = 0; line < text.length;) {
    const broken = text.indexOf('\n', line);
    const end = broken < 0 ? text.length : broken;
    for (const { index, segment } of segmenter.segment(text.slice(line, end))) {
      take(line + index, line + index + segment.length);
    }
    line = end + 1;
  }
  return found;
}
