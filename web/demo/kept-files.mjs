// What the service worker of a built page keeps: all its files but models, which the package keeps itself.

import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export const WORKER = 'service-worker.js';

/** The SHA-256 of some bytes, in base64. */
const digest = (bytes) => createHash('sha256').update(bytes).digest('base64');

const isModel = (file) => /^models\/|\.safetensors$|vocab.*\.txt$/.test(file);

/** Files by their paths in `dist`, each with the digest of its bytes. */
export function keptFiles(dist) {
  const files = readdirSync(dist, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(join(dist, '/').length).replaceAll('\\', '/'))
    .filter((file) => file !== WORKER && !isModel(file))
    .sort();
  return Object.fromEntries(files.map((file) => [file, digest(readFileSync(join(dist, file)))]));
}

/** Fills the list and its version into the worker in `dist`, whose script, `template`, has places for them. */
export function fillWorker(dist, template = readFileSync(join(dist, WORKER), 'utf8')) {
  const files = JSON.stringify(keptFiles(dist));
  // Of the script as well: each version has a cache of its own.
  const version = createHash('sha256').update(template).update(files).digest('hex').slice(0, 16);
  const filled = template
    .replace(/(["'`])__VERSION__\1/, () => JSON.stringify(version))
    .replace(/(["'`])__FILES__\1/, () => JSON.stringify(files));
  if (/__VERSION__|__FILES__/.test(filled) || filled === template)
    throw new Error(`${WORKER}: nowhere to put the files`);
  writeFileSync(join(dist, WORKER), filled);
  return { files, version };
}
