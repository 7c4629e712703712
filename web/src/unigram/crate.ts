/** The crate with Unigram tokenizers: loaded for the models that need them alone, since their Unicode tables weigh. */

import type { Crate } from '../engine.js';
import init, { CancelToken, Files, Host, Pipeline } from './wasm/cloze.js';
import { integrity } from './wasm/integrity.js';

export const crate: Crate = { init, CancelToken, Files, Host, load: Pipeline.load, learns: false, integrity };
