/** A text's sentences and their places. */

export interface Sentence {
  start: number;
  end: number;
  text: string;
}

/** Units of a sentence, at most: what has no end for that long is a table or noise. */
const MOST = 1000;

/** Units that a segmenter is given at once: it takes the time of their square. */
const PIECE = 4000;

/** `at`, or one before where that would part the two halves of a character. */
function between(text: string, at: number): number {
  return /[\udc00-\udfff]/.test(text.charAt(at)) ? at - 1 : at;
}

/** Sentences without the space around them; line breaks that part paragraphs end one too. */
export function* eachSentence(text: string): Generator<Sentence> {
  function* take(from: number, to: number): Generator<Sentence> {
    const piece = text.slice(from, to);
    const start = from + piece.length - piece.trimStart().length;
    const end = from + piece.trimEnd().length;
    for (let at = start, until = at; at < end; at = until) {
      until = at + MOST < end ? between(text, at + MOST) : end;
      if (/[\p{L}\p{N}]/u.test(text.slice(at, until))) yield { start: at, end: until, text: text.slice(at, until) };
    }
  }
  const segmenter = new Intl.Segmenter(undefined, { granularity: 'sentence' });
  for (let at = 0; at < text.length;) {
    const piece = text.slice(at, between(text, at + PIECE));
    const broken = piece.indexOf('\n');
    const line = broken < 0 ? piece : piece.slice(0, broken);
    const found = [...segmenter.segment(line)];
    // The last one may go on beyond the piece: it is read again, from its beginning.
    const goesOn = broken < 0 && at + piece.length < text.length && found.length > 1 ? found.pop() : undefined;
    for (const { index, segment } of found) yield* take(at + index, at + index + segment.length);
    at += goesOn ? goesOn.index : line.length + (broken < 0 ? 0 : 1);
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
