// The inspector of a running workerd or Node, over a WebSocket, which Node 20 has no client for.

import { randomBytes } from 'node:crypto';
import { request } from 'node:http';

const TEXT = 1;
const CLOSE = 8;

/** A frame of a client; commands are no longer than 64 KiB. */
function frame(opcode, text) {
  const payload = Buffer.from(text);
  const mask = randomBytes(4);
  const { length } = payload;
  const size = length < 126 ? [0x80 | length] : [0x80 | 126, length >> 8, length & 255];
  return Buffer.concat([Buffer.from([0x80 | opcode, ...size]), mask, payload.map((byte, i) => byte ^ mask[i & 3])]);
}

/** The first whole frame of `bytes`, and what comes after it. */
function unframe(bytes) {
  const short = (bytes[1] ?? 0) & 127;
  const at = { 126: 4, 127: 10 }[short] ?? 2;
  if (bytes.length < at) return undefined;
  const length = at === 2 ? short : at === 4 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2));
  if (bytes.length < at + length) return undefined;
  const [end, opcode] = [(bytes[0] & 0x80) !== 0, bytes[0] & 15];
  return { end, opcode, payload: bytes.subarray(at, at + length), rest: bytes.subarray(at + length) };
}

/** Opens the DevTools protocol of a server that `app.mjs` started. */
export async function inspect({ port, name }) {
  const headers = {
    connection: 'Upgrade',
    upgrade: 'websocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': randomBytes(16).toString('base64'),
  };
  const upgrade = request({ host: '127.0.0.1', port, path: `/${name}`, headers });
  const [socket, head] = await new Promise((resolve, reject) => {
    upgrade.on('upgrade', (_, ...opened) => resolve(opened));
    upgrade.on('response', ({ statusCode }) => reject(new Error(`the inspector answers ${statusCode}`)));
    upgrade.on('error', reject);
    upgrade.end();
  });

  const waiting = new Map();
  let context;
  let bytes = head;
  let pieces = [];
  const read = ({ id, result, error, method, params }) => {
    if (method === 'Runtime.executionContextCreated') context ??= params.context.id;
    const asked = waiting.get(id);
    waiting.delete(id);
    if (error) asked?.reject(new Error(error.message));
    else asked?.resolve(result);
  };
  const take = (more) => {
    bytes = Buffer.concat([bytes, more]);
    for (let next; (next = unframe(bytes));) {
      bytes = next.rest;
      if (next.opcode > TEXT) continue;
      pieces.push(next.payload);
      if (!next.end) continue;
      read(JSON.parse(Buffer.concat(pieces).toString()));
      pieces = [];
    }
  };
  const end = () => {
    for (const { reject } of waiting.values()) reject(new Error('the inspector has gone'));
  };
  socket.on('data', take);
  socket.on('error', end);
  socket.on('close', end);
  take(Buffer.alloc(0));

  let last = 0;
  const send = (method, params = {}) =>
    new Promise((resolve, reject) => {
      waiting.set(++last, { resolve, reject });
      socket.write(frame(TEXT, JSON.stringify({ id: last, method, params })));
    });
  await send('Runtime.enable');

  /** Bytes of each `WebAssembly.Memory` or `ArrayBuffer` that lives, after a collection. */
  const sizes = async (constructor) => {
    const { result } = await send('Runtime.evaluate', { expression: `${constructor}.prototype`, contextId: context });
    const { objects } = await send('Runtime.queryObjects', { prototypeObjectId: result.objectId });
    const functionDeclaration = 'function () { return this.map((one) => (one.buffer ?? one).byteLength); }';
    const found = await send('Runtime.callFunctionOn', {
      objectId: objects.objectId,
      returnByValue: true,
      functionDeclaration,
    });
    await send('Runtime.releaseObject', { objectId: objects.objectId });
    return found.result.value;
  };
  /** Frees what nothing uses any more, as a search for objects does first. V8 does so by itself only when it thinks fit. */
  const collect = () => sizes('WebAssembly.Memory');
  const close = () => void socket.end(frame(CLOSE, ''));
  return { send, sizes, collect, close };
}
