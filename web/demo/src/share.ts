/** Links that carry a text and a question in their fragment, which browsers do not send. */

/** Units of a link's fragment: what browsers and messengers still carry. */
export const MOST_LINK = 48_000;

/** Bytes that a link unpacks to, at most: a small one can hold gigabytes of nothing. */
const MOST_UNPACKED = 4 << 20;

const PREFIX = '#t=';

export interface Shared {
  title: string;
  text: string;
  question: string;
}

/** Why a link cannot be made or read, for people. */
export class LinkProblem extends Error {}

/** The address that brings `shared` to another. @throws LinkProblem if it is too long. */
export async function linkTo({ title, text, question }: Shared): Promise<string> {
  const bytes = new TextEncoder().encode(JSON.stringify([1, title, text, question]));
  if (bytes.length > MOST_UNPACKED) throw new LinkProblem('This text is too long for a link. Share the file itself.');
  const link = PREFIX + base64url(await packed(bytes));
  if (link.length > MOST_LINK) {
    const size = `${Math.round(link.length / 1000)} thousand characters`;
    throw new LinkProblem(`This text is too long for a link: the link would have ${size}. Share the file itself.`);
  }
  return new URL(link, location.href).href;
}

/** What a fragment carries; nothing if it is none of ours. @throws LinkProblem if it cannot be read. */
export async function sharedIn(fragment: string): Promise<Shared | undefined> {
  if (!fragment.startsWith(PREFIX)) return undefined;
  const broken = new LinkProblem('This link is broken: a part of it is missing or changed. Ask for it again.');
  let json: string;
  try {
    json = await unpacked(bytesOf(fragment.slice(PREFIX.length)));
  } catch (error) {
    throw error instanceof LinkProblem ? error : broken;
  }
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    throw broken;
  }
  if (!Array.isArray(value) || value.length !== 4 || value[0] !== 1) throw broken;
  const [, title, text, question] = value as unknown[];
  if (typeof title !== 'string' || typeof text !== 'string' || typeof question !== 'string') throw broken;
  return { title: title.slice(0, 200), text, question: question.slice(0, 1000) };
}

async function packed(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream('deflate-raw'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Unpacks no more than may be kept, whatever the link says. */
async function unpacked(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const reader = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate-raw')).getReader();
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let text = '';
  for (let size = 0; ;) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    size += value.length;
    if (size > MOST_UNPACKED) {
      void reader.cancel();
      throw new LinkProblem(
        'This link was not made by this page: it unpacks to more than 4 MB. The page does not open it.',
      );
    }
    text += decoder.decode(value, { stream: true });
  }
}

function base64url(bytes: Uint8Array): string {
  let binary = '';
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
}

function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0));
}
