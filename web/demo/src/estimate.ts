/** How long a text will take, before it is begun. */

/** As the package cuts long texts: tokens of a window, and those that neighbours share. */
const WINDOW = 384;
const SHARED = 128;

/** UTF-16 units of a token, on the average of English prose. */
const UNITS = 4.4;

/** Tokens that the model will read for one question, all windows together. */
export function tokensOf(text: string, question: string): number {
  const asked = Math.ceil(question.length / UNITS) + 3;
  const room = WINDOW - asked;
  const context = Math.ceil(text.length / UNITS);
  if (context <= room || room <= SHARED) return context + asked;
  const windows = Math.ceil((context - room) / (room - SHARED)) + 1;
  return context + (windows - 1) * SHARED + windows * asked;
}
