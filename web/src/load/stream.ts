/** Streams that are no downloads: files of the visitor's, and whatever the caller gives. */

/** Bytes as they lie in memory; nothing for what is none. */
export function bytesOf(value: unknown): Uint8Array | undefined {
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  return value instanceof ArrayBuffer ? new Uint8Array(value) : undefined;
}

/** A stream's bytes, which end when the signal is aborted. What goes wrong is thrown as `failed` makes it. */
export async function* chunksOf(
  body: ReadableStream<unknown> | null,
  signal: AbortSignal,
  failed: (cause: unknown) => Error,
): AsyncGenerator<Uint8Array> {
  if (!body) return;
  let reader: ReadableStreamDefaultReader<unknown> | undefined;
  const stop = (): void => void reader?.cancel().catch(() => {});
  try {
    reader = body.getReader();
    signal.addEventListener('abort', stop);
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const bytes = bytesOf(value);
      if (!bytes) throw new Error('its stream has chunks that are no bytes');
      yield bytes;
    }
  } catch (cause) {
    throw failed(cause);
  } finally {
    signal.removeEventListener('abort', stop);
    stop();
  }
}
