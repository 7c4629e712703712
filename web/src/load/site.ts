/** Models at an address, and those whose addresses a manifest gives. */

import { ClozeError, clip } from '../errors.js';
import { isPath, isSha256, redacted } from './names.js';
import { localFile } from './node.js';
import { faultOf, type Fault, type Local, type Remote, type Source } from './source.js';
import type { Manifest } from './types.js';

/** What there may be instead of safetensors. */
const OTHER_WEIGHTS = ['pytorch_model.bin', 'tf_model.h5', 'flax_model.msgpack', 'onnx/model.onnx'];

/** A directory behind an address. `exists` asks the server for a file. */
export function siteSource(base: URL, revision: string | undefined, exists: (url: string) => Promise<boolean>): Source {
  const wrong = (problem: string) =>
    new ClozeError(
      'option',
      `model: ${clip(redacted(base.href), 300)} ${problem}. Give the ` +
        'address of the directory that has config.json, model.safetensors and vocab.txt or tokenizer.json',
    );
  if (!/^(https?|file):$/.test(base.protocol)) throw wrong('cannot be fetched');
  if (base.username || base.password) throw wrong('has a password in it, which browsers do not send');
  if (/\.(safetensors|json|txt|bin|onnx)$/i.test(base.pathname)) throw wrong('is one file');
  if (revision !== undefined && !/^[\x21-\x7e]{1,200}$/.test(revision)) {
    throw new ClozeError(
      'option',
      `revision: "${clip(revision)}" cannot be used. Give 1 to 200 visible ASCII characters`,
    );
  }
  const directory = new URL(base.href);
  directory.hash = '';
  if (!directory.pathname.endsWith('/')) directory.pathname += '/';
  const urlOf = (file: string) => {
    const url = new URL(file, directory);
    url.search = directory.search;
    return url.href;
  };
  const find = async (file: string): Promise<Remote | Local | undefined> =>
    directory.protocol === 'file:' ? localFile(urlOf(file)) : { url: urlOf(file) };
  return {
    kind: 'url',
    name: directory.href,
    revision: revision ?? '',
    fixed: revision !== undefined,
    find,
    async others() {
      const there = await Promise.all(
        OTHER_WEIGHTS.map(async (file) => {
          const found = directory.protocol === 'file:' ? await localFile(urlOf(file)) : await exists(urlOf(file));
          return found ? [file] : [];
        }),
      );
      return there.flat();
    },
    fault: (fault, file, problem, cause) => siteFault(fault, file ? urlOf(file) : directory.href, problem, cause),
  };
}

/** The files that a manifest names. */
export function shippedSource(manifest: Manifest): Source {
  const { name, revision, files } = manifest;
  const wrong = (problem: string) =>
    new ClozeError(
      'option',
      `model: the manifest ${problem}. Give name, revision, and ` + 'files with url, size and sha256 (64 hex digits)',
    );
  if (typeof name !== 'string' || !name || typeof revision !== 'string' || !revision)
    throw wrong('has no name or revision');
  const known = new Map<string, { size: number; sha256: string; text?: string; url: string }>();
  for (const [file, { size, sha256, text, url }] of Object.entries(files ?? {})) {
    const address = String((typeof url === 'function' ? url() : url) ?? '');
    if (
      !isPath(file) ||
      !Number.isSafeInteger(size) ||
      size < 0 ||
      !isSha256(sha256) ||
      (!address && text === undefined)
    ) {
      throw wrong(`is wrong about "${clip(file)}"`);
    }
    known.set(file, { size, sha256, url: address, ...(text !== undefined && { text }) });
  }
  const find = async (file: string): Promise<Remote | Local | undefined> => {
    const shipped = known.get(file);
    if (!shipped) return undefined;
    const { size, sha256, text, url } = shipped;
    if (text !== undefined) return { ...inline(text), sha256 };
    if (!url.startsWith('file:')) return { url, size, sha256 };
    const local = await localFile(url);
    if (!local) throw siteFault('missing', url, 'there is no such file');
    return { ...local, sha256 };
  };
  return {
    kind: 'shipped',
    name,
    revision,
    fixed: true,
    find,
    others: async () => [...known.keys()],
    fault: (fault, file, problem, cause) =>
      siteFault(fault, known.get(file)?.url || (file ? `${name}, ${file}` : name), problem, cause),
  };
}

function inline(text: string): Local {
  const bytes = new TextEncoder().encode(text);
  return {
    size: bytes.length,
    lasting: true,
    chunks: async function* () {
      yield bytes;
    },
  };
}

function siteFault(fault: Fault, what: string, problem: string, cause?: unknown): ClozeError {
  const at = clip(what, 300);
  switch (fault) {
    case 'missing':
      return faultOf(fault, 'io', `cannot read ${at}: ${problem}. Check the address`, cause);
    case 'access':
      return faultOf(
        fault,
        'io',
        `cannot read ${at}: the server refuses it (${problem}). Make it readable for the page`,
        cause,
      );
    case 'cache':
      return faultOf(fault, 'io', `cannot read ${at}: ${problem}. Load it once without the option offline`, cause);
    case 'network':
      return faultOf(
        fault,
        'io',
        `cannot read ${at}: ${problem}. Check the network, and that the server lets this page ` +
          'read it (CORS), and load it again: what is there is kept and continued',
        cause,
      );
    case 'answer':
      return faultOf(fault, 'checkpoint', `${at}: ${problem}. Put the file there again, or correct its digest`, cause);
  }
}
