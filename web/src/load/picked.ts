/** Models from files that a visitor picked, one by one or by their directory. */

import { ClozeError, clip, messageOf } from '../errors.js';
import { isPath, pathOf } from './names.js';
import { faultOf, type Local, type Source } from './source.js';
import { chunksOf } from './stream.js';
import type { PickedFile } from './types.js';

export function pickedSource(files: FileList | readonly (File | PickedFile)[]): Source {
  const byPath = new Map<string, File>();
  for (const picked of Array.from(files)) {
    const { path, file } = picked instanceof File ? { path: pathOf(picked), file: picked } : picked;
    if (byPath.has(path)) throw new ClozeError('option', `model: ${clip(path)} is there twice. Pick one model`);
    byPath.set(path, file);
  }
  const root = rootOf([...byPath.keys()]);
  const name = root.replace(/\/$/, '').split('/').pop() || 'picked files';
  const names = [...byPath.keys()].filter((path) => path.startsWith(root)).map((path) => path.slice(root.length));
  const find = async (file: string): Promise<Local | undefined> => {
    const picked = byPath.get(root + file);
    if (!picked) return undefined;
    const failed = (cause: unknown): ClozeError => changed(picked, cause);
    return { size: picked.size, chunks: (signal) => chunksOf(picked.stream(), signal, failed) };
  };
  return {
    kind: 'files',
    name,
    revision: '',
    fixed: false,
    find,
    others: async () => names.filter(isPath),
    fault(fault, file, problem, cause) {
      const what = file ? `${name}, ${file}` : name;
      const help = 'Pick all files of the model, or its directory: config.json, model.safetensors, vocab.txt';
      return faultOf(fault, fault === 'answer' ? 'checkpoint' : 'io', `${what}: ${problem}. ${help}`, cause);
    },
  };
}

/** The model's directory: that of `modules.json`, or else of the `config.json` that is least deep. */
function rootOf(paths: string[]): string {
  for (const mark of ['modules.json', 'config.json']) {
    const roots = paths
      .filter((path) => path === mark || path.endsWith(`/${mark}`))
      .map((path) => path.slice(0, -mark.length));
    const depth = (root: string) => root.split('/').length;
    const least = Math.min(...roots.map(depth));
    const [root, other] = roots.filter((r) => depth(r) === least);
    if (root !== undefined && other !== undefined) {
      throw new ClozeError('option', `model: both ${clip(root)} and ${clip(other)} have a ${mark}. Pick one model`);
    }
    if (root !== undefined) return root;
  }
  if (paths.length === 0)
    throw new ClozeError('option', 'model: no files. Pick the files of a model, or its directory');
  // None: the walk says what is missing, at the top.
  const top = paths.every((path) => path.includes('/')) ? paths[0]?.split('/')[0] : undefined;
  return top !== undefined && paths.every((path) => path.startsWith(`${top}/`)) ? `${top}/` : '';
}

function changed(file: File, cause: unknown): ClozeError {
  const help = 'It may have been changed since it was picked: pick it again';
  return new ClozeError('io', `cannot read ${clip(file.name)}: ${messageOf(cause)}. ${help}`, { cause });
}
