/** Models whose files the caller gives: bindings of a server at the edge, assets of a program, responses of its own. */

import { ClozeError, clip, messageOf } from '../errors.js';
import { faultOf, type Fault, type Local, type Source } from './source.js';
import { bytesOf, chunksOf } from './stream.js';
import { lengthOf } from './transfer.js';
import type { GiveFile } from './types.js';

const NAME = 'given files';

export function givenSource(give: GiveFile): Source {
  const fault = (fault: Fault, file: string, problem: string, cause?: unknown): ClozeError => {
    const what = file ? `${NAME}, ${clip(file)}` : NAME;
    const help = 'Let the function model give all files of the model: config.json, model.safetensors, vocab.txt';
    return faultOf(fault, fault === 'answer' ? 'checkpoint' : 'io', `${what}: ${problem}. ${help}`, cause);
  };
  const failed = (file: string, cause: unknown) =>
    fault('missing', file, `it cannot be read: ${messageOf(cause)}`, cause);
  const find = async (file: string): Promise<Local | undefined> => {
    let body: unknown;
    try {
      body = await give(file);
    } catch (cause) {
      throw failed(file, cause);
    }
    if (body === undefined || body === null) return undefined;
    if (body instanceof Response) {
      if (body.ok) return streamed(body.body, sizeOf(body), file);
      await body.body?.cancel();
      if (body.status === 404 || body.status === 410) return undefined;
      throw fault('access', file, `its response has status ${body.status}`);
    }
    if (body instanceof ReadableStream) return streamed(body as ReadableStream<unknown>, undefined, file);
    if (body instanceof Blob) return streamed(body.stream(), body.size, file);
    const bytes = bytesOf(body);
    if (!bytes) throw fault('missing', file, 'what is given is neither bytes, nor a Blob, a stream or a Response');
    return { size: bytes.length, chunks: () => once(bytes) };
  };
  const streamed = (body: ReadableStream<unknown> | null, size: number | undefined, file: string): Local => ({
    ...(size !== undefined && { size }),
    chunks: (signal) => chunksOf(body, signal, (cause) => failed(file, cause)),
  });
  return { kind: 'files', name: NAME, revision: '', fixed: false, find, others: async () => [], fault };
}

/** Bytes of a response, if its header says how many come. Of compressed ones it says how many were sent. */
function sizeOf(response: Response): number | undefined {
  return response.headers.has('content-encoding') ? undefined : lengthOf(response);
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
