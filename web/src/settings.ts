/** What the files of a sentence-transformers model say that the engine does not: how its vectors are compared. */

/** How two vectors are compared. Distances have a minus sign, so that a greater score always means closer. */
export type Metric = 'cosine' | 'dot' | 'euclidean' | 'manhattan';

/** The names that sentence-transformers uses in `similarity_fn_name`. */
export const METRICS: readonly Metric[] = ['cosine', 'dot', 'euclidean', 'manhattan'];

const FILE = 'config_sentence_transformers.json';

/** Keeps the settings file while a model's files are loaded. */
export class SentenceSettings {
  #decoder = new TextDecoder();
  #text = '';

  /** A file begins, or starts over. */
  begin(file: string): void {
    if (file !== FILE) return;
    this.#decoder = new TextDecoder();
    this.#text = '';
  }

  write(file: string, chunk: Uint8Array): void {
    if (file === FILE) this.#text += this.#decoder.decode(chunk, { stream: true });
  }

  /** The model's `similarity_fn_name`, if it has one. Tasks that do not embed never check the file: it may be no JSON. */
  get similarity(): Metric | undefined {
    try {
      const { similarity_fn_name: name } = Object(JSON.parse(this.#text)) as { similarity_fn_name?: unknown };
      return METRICS.find((known) => known === name);
    } catch {
      return undefined;
    }
  }
}
