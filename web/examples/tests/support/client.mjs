// A client of the service that does not mend what it sends, and can leave in the middle of it.

import { Agent, request } from 'node:http';
import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';

/** Keeps lines open, as many as it is told. */
export const agent = (maxSockets) => new Agent({ keepAlive: true, maxSockets });

/**
 * Sends one request: `{ status, headers, text, json }`. `body` is an object, or text, bytes, or chunks of them to come.
 * `leave` is the number of milliseconds after which the client resets the line.
 */
export function send(url, path, { method = 'POST', headers = {}, body, leave, agent } = {}) {
  return new Promise((resolve, reject) => {
    const known = { ...(body !== undefined && { 'content-type': 'application/json' }), ...headers };
    const sent = request(url + path, { method, headers: known, agent: agent ?? false }, (response) => {
      const pieces = [];
      response.on('data', (piece) => pieces.push(piece));
      response.on('error', reject);
      response.on('end', () => {
        const text = Buffer.concat(pieces).toString();
        const { statusCode: status, headers } = response;
        resolve({
          status,
          headers,
          text,
          json: /json/.test(headers['content-type']) && text ? JSON.parse(text) : undefined,
        });
      });
    });
    sent.on('error', reject);
    if (leave !== undefined) setTimeout(() => sent.socket.resetAndDestroy(), leave);
    if (body === undefined || typeof body === 'string' || Buffer.isBuffer(body)) sent.end(body);
    else sent.end(JSON.stringify(body));
  });
}

/** Asks: the answer, or what the service says instead. */
export const ask = (url, question, context, more = {}) =>
  send(url, '/answer', { body: { question, context, ...more.fields }, ...more });

/**
 * A line on which bytes are sent as they are: `write` waits until they are taken, and `over` resolves to all that came
 * when the server ends it, however it does.
 */
export function line(url) {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  let text = '';
  socket.on('data', (data) => (text += data.toString('latin1')));
  socket.on('error', () => {});
  const over = new Promise((resolve) => socket.on('close', () => resolve(text)));
  const write = (data) => new Promise((resolve) => socket.write(data, (error) => resolve(!error)));
  return {
    write,
    over,
    socket,
    get text() {
      return text;
    },
  };
}

/** Resident memory of a process in bytes: now, and the most that it ever had. */
export async function resident(pid) {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const [now, most] = ['VmRSS', 'VmHWM'].map(
    (name) => Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(status)[1]) * 1024,
  );
  return { now, most };
}
