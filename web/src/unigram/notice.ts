/** Which of the crate's modules a model needs. */

const UNIGRAM = /"type"\s*:\s*"Unigram"|"unk_id"\s*:/;
/** Longer than what is looked for. */
const OVERLAP = 64;

/** A module that has the function `unigram` knows Unigram tokenizers. */
export function knowsUnigram(module: WebAssembly.Module): boolean {
  return WebAssembly.Module.exports(module).some(({ name }) => name === 'unigram');
}

/** Looks at a model's files as they come. */
export class Notice {
  /** Whether a tokenizer.json was seen whose model is Unigram. */
  found = false;
  #before = '';

  /** Whether a file is one that says which module is needed. */
  watches(file: string): boolean {
    return /(^|\/)tokenizer\.json$/.test(file);
  }

  see(file: string, chunk: Uint8Array): void {
    if (this.found || !this.watches(file)) return;
    // Letters and quotes are the same in both, and every byte is a character.
    const text = this.#before + new TextDecoder('latin1').decode(chunk);
    this.found = UNIGRAM.test(text);
    this.#before = text.slice(-OVERLAP);
  }
}
