/** What the build knows (vite.config.mjs). */

/** Bytes of the default model's files that are downloaded. */
declare const MODEL_BYTES: number;

/** The sentence encoder beside the page, where there is one. */
declare const ENCODER: { path: string; bytes: number; revision: string } | null;
