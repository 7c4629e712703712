/** BERT in the browser: what the package offers. */

export { pipeline } from './pipeline.js';
export { ClozeError } from './errors.js';
export { cosine, dot, rows, search, similarity } from './similarity.js';
export type { Code } from './errors.js';
export { deleteModel, deleteModels, listModels } from './load/index.js';
export type { CachedModel, FileBody, GiveFile, Progress } from './load/index.js';
export type { Counters, Device } from './protocol.js';
export type * from './types.js';
