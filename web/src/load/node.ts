/** Files on the disk of Node, Deno or Bun. Browsers have none, and bundlers see no import. */

import { ClozeError, clip, messageOf } from '../errors.js';
import type { Local } from './source.js';

const STEP = 1 << 20;

interface Handle {
  stat(): Promise<{ size: number; isFile(): boolean }>;
  read(buffer: Uint8Array, offset: number, length: number): Promise<{ bytesRead: number }>;
  close(): Promise<void>;
}

type Open = (url: URL) => Promise<Handle>;

/** How errors say where files can be read. */
export const NO_FILES = 'only Node, Deno and Bun read';

/** A module of Node's, which Deno and Bun have too. It is not imported: bundlers for browsers would follow the name, or warn of it. */
export function builtin<T>(name: string): T | undefined {
  const { process } = globalThis as { process?: { getBuiltinModule?(name: string): unknown } };
  return process?.getBuiltinModule?.(name) as T | undefined;
}

interface Disk {
  statSync(path: string, options: { throwIfNoEntry: false }): { isDirectory(): boolean } | undefined;
}

/** A model that is named by a path, as its `file:` address. */
export interface OnDisk {
  /** The address of a directory. Nothing if there is none. */
  directory?: string;
  /** What there is instead, for people. */
  problem: string;
}

/**
 * What the disk has at a path, which is relative to the working directory. Nothing where paths are not files: in a page,
 * whose paths are addresses, and where there is no disk.
 */
export function onDisk(path: string): OnDisk | undefined {
  const fs = 'document' in globalThis ? undefined : builtin<Disk>('node:fs');
  const url = builtin<{ pathToFileURL(path: string): URL }>('node:url');
  const { resolve } = builtin<{ resolve(path: string): string }>('node:path') ?? {};
  if (!fs || !url || !resolve) return undefined;
  const whole = resolve(path);
  try {
    const found = fs.statSync(path, { throwIfNoEntry: false });
    if (found?.isDirectory()) return { directory: url.pathToFileURL(whole).href, problem: '' };
    return { problem: found ? `${whole} is no directory` : `there is no directory ${whole}` };
  } catch (error) {
    return { problem: `${whole} cannot be read (${messageOf(error)})` };
  }
}

/** The file at a `file:` address; nothing if there is none. */
export async function localFile(url: string): Promise<Local | undefined> {
  const failed = (error: unknown) =>
    new ClozeError(
      'io',
      `cannot read ${clip(url, 300)}: ${messageOf(error)}. Check that it ` + 'is a file and readable',
      { cause: error },
    );
  const fs = builtin<{ open: Open }>('node:fs/promises');
  if (!fs) {
    throw new ClozeError('io', `cannot read ${clip(url, 300)}: ${NO_FILES} file: addresses. Serve the files over HTTP`);
  }
  const { open } = fs;
  const begin = async (): Promise<Handle | undefined> => {
    try {
      return await open(new URL(url));
    } catch (error) {
      if (['ENOENT', 'ENOTDIR'].includes((error as { code?: string }).code ?? '')) return undefined;
      throw failed(error);
    }
  };
  const handle = await begin();
  if (!handle) return undefined;
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) throw new Error('not a file');
    return { size: stat.size, chunks: () => read(begin, failed) };
  } catch (error) {
    throw failed(error);
  } finally {
    await handle.close();
  }
}

async function* read(begin: () => Promise<Handle | undefined>, failed: (error: unknown) => ClozeError) {
  const handle = await begin();
  if (!handle) throw failed('it is gone');
  try {
    const buffer = new Uint8Array(STEP);
    for (;;) {
      const { bytesRead } = await handle.read(buffer, 0, STEP);
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
    }
  } catch (error) {
    throw failed(error);
  } finally {
    await handle.close();
  }
}
