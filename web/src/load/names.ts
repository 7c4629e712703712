/** What a model is called, and which words of a server or a visitor's files may become part of an address. */

import { ClozeError, clip } from '../errors.js';

/** A file of this name may be anywhere: no directory, nothing hidden, no step upwards. */
export function isPlain(name: string): boolean {
  return /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,254}$/.test(name) && !name.includes('..');
}

/** The same for a path of such names, downwards. */
export function isPath(path: string): boolean {
  return path.length <= 255 && path.split('/').every(isPlain);
}

/** A whole commit never changes. */
export function isCommit(text: string): boolean {
  return /^[0-9a-f]{40}$/.test(text);
}

export function isSha256(text: unknown): text is string {
  return typeof text === 'string' && /^[0-9a-f]{64}$/.test(text);
}

/** A model of the Hub. */
export interface HubId {
  repo: string;
  revision: string;
}

/** Reads `owner/name` or `owner/name@revision`. */
export function parseHubId(text: string, revision?: string): HubId {
  const wrong = (name: string, problem: string) =>
    new ClozeError(
      'option',
      `${name}: ${problem}. Give owner/name of a ` +
        'model on the Hub, with a branch, tag or commit as revision; or an address that begins with https:// or ./',
    );
  const at = text.indexOf('@');
  const repo = at < 0 ? text : text.slice(0, at);
  const words = repo.split('/');
  const isWord = (w: string) => isPlain(w) && !w.startsWith('-') && !/[-.]$/.test(w) && !w.includes('--');
  if (words.length !== 2 || repo.length > 96 || !words.every(isWord) || repo.endsWith('.git')) {
    throw wrong('model', `"${clip(text)}" is not the name of a model`);
  }
  const named = at < 0 ? undefined : text.slice(at + 1);
  if (named !== undefined && revision !== undefined && named !== revision) {
    throw wrong('revision', `"${clip(text)}" names another than "${clip(revision)}"`);
  }
  const chosen = named ?? revision ?? 'main';
  if (!isPath(chosen) || /[/.]$|\.lock$/.test(chosen)) throw wrong('revision', `"${clip(chosen)}" is no revision`);
  return { repo, revision: chosen };
}

/** Whether a text is an address and no name. */
export function isAddress(text: string): boolean {
  return /^([a-z][a-z0-9+.-]*:|\.{0,2}\/)/i.test(text);
}

/** Files that a loader may ask for; what else an `integrity` names is a slip of the pen. */
const KNOWN = new RegExp(
  '^(.+/)?((config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|modules|sentence_bert_config|' +
    'config_sentence_transformers)\\.json|vocab\\.txt' +
    '|.+\\.safetensors(\\.index\\.json)?)$',
);

/** The option `integrity` as hex digests. */
export function parseIntegrity(integrity: Record<string, string> = {}): Map<string, string> {
  const digests = new Map<string, string>();
  for (const [file, text] of Object.entries(integrity)) {
    const wrong = (problem: string) =>
      new ClozeError(
        'option',
        `integrity: ${problem} "${clip(file)}". Give a file of ` +
          'the model, such as model.safetensors, and "sha256-" with base64 or 64 hex digits',
      );
    if (!isPath(file) || !KNOWN.test(file)) throw wrong('no model has a file');
    const hex = typeof text === 'string' ? hexOf(text.trim()) : undefined;
    if (hex === undefined) throw wrong('no SHA-256 is given for');
    digests.set(file, hex);
  }
  return digests;
}

function hexOf(text: string): string | undefined {
  if (/^[0-9a-f]{64}$/i.test(text)) return text.toLowerCase();
  const base64 = /^sha256-([A-Za-z0-9+/]{43}=)$/.exec(text)?.[1];
  if (base64 === undefined) return undefined;
  return Array.from(atob(base64), (c) => c.charCodeAt(0).toString(16).padStart(2, '0')).join('');
}

/** Where a picked file lies in the directory that was picked; its name alone, where it was picked by itself. */
export function pathOf(file: File): string {
  return file.webkitRelativePath || file.name;
}

/** An address as messages may show it: without a user and password. */
export function redacted(address: string): string {
  return address.replace(/(^|\/\/)[^/]*@/, '$1***@');
}

/** What relative addresses are relative to, where there is a page or a worker with an address. */
export function baseAddress(): string | undefined {
  const scope = globalThis as { document?: { baseURI?: string }; location?: { href?: string } };
  return scope.document?.baseURI ?? scope.location?.href;
}
