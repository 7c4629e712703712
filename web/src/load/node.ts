/** Files on Node's disk. Browsers have none, and bundlers see no import. */

import { ClozeError, clip, messageOf } from '../errors.js';
import type { Local } from './source.js';

const STEP = 1 << 20;

interface Handle {
  stat(): Promise<{ size: number; isFile(): boolean }>;
  read(buffer: Uint8Array, offset: number, length: number): Promise<{ bytesRead: number }>;
  close(): Promise<void>;
}

type Open = (url: URL) => Promise<Handle>;

/** The file at a `file:` address; nothing if there is none. */
export async function localFile(url: string): Promise<Local | undefined> {
  const failed = (error: unknown) =>
    new ClozeError(
      'io',
      `cannot read ${clip(url, 300)}: ${messageOf(error)}. Check that it ` + 'is a file and readable',
      { cause: error },
    );
  // Not imported: bundlers for browsers would follow the name, or warn of it.
  const builtins = (globalThis as { process?: { getBuiltinModule?(name: string): unknown } }).process;
  const fs = builtins?.getBuiltinModule?.('node:fs/promises') as { open: Open } | undefined;
  if (!fs) {
    throw new ClozeError(
      'io',
      `cannot read ${clip(url, 300)}: only Node reads file: addresses. Serve the files over HTTP`,
    );
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
