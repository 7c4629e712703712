/** Engines whose models do their tasks. */

import { Engine } from './engine.js';
import type { Crate } from './engine.js';
import type { OpenEngine } from './protocol.js';
import { integrity } from './wasm/integrity.js';
import init, { CancelToken, Files, Host, Pipeline } from './wasm/cloze.js';

/** Written so that bundlers see it. */
const withUnigram = async (): Promise<Crate> => (await import('./unigram/crate.js')).crate;

const crate: Crate = { init, CancelToken, Files, Host, load: Pipeline.load, learns: false, integrity, withUnigram };

export const open: OpenEngine = (request, hooks) => Engine.open(crate, request, hooks);
