/** The service in Node, at `HOST` and `PORT`. On SIGTERM it finishes what it has begun. */

import { createServer } from 'node:http';
import { pipeline } from 'cloze';
import { service } from './service.js';

/** Milliseconds. */
const TO_THE_END = 35_000;
const TO_TAKE_A_REFUSAL = 500;
/** Bytes. */
const MOST_IN_VAIN = 1 << 20;
/** Requests that a line may send ahead of their answers, which wait in memory for their turn. */
const MOST_AHEAD = 16;

const { PORT = '8080', HOST = '127.0.0.1' } = process.env;
const answer = await pipeline('question-answering');
const handle = service(answer);
let stopping = false;

// Who sends headers or bodies drop by drop is cut off, and who sends many headers is refused.
const timeouts = {
  headersTimeout: 5000,
  requestTimeout: 10_000,
  keepAliveTimeout: 5000,
  connectionsCheckingInterval: 1000,
};
const server = createServer({ ...timeouts, maxHeaderSize: 8192 }, (incoming, outgoing) => {
  void serve(incoming, outgoing).catch(() => outgoing.destroy());
});
server.maxConnections = 256;

/** Requests without an answer yet, by their lines. */
const ahead = new WeakMap();

async function serve(incoming, outgoing) {
  const { socket } = incoming;
  const count = (change) => ahead.set(socket, (ahead.get(socket) ?? 0) + change).get(socket);
  if (count(1) > MOST_AHEAD) return void socket.destroy();
  outgoing.on('close', () => count(-1));
  const gone = new AbortController();
  outgoing.on('close', () => outgoing.writableFinished || gone.abort());
  const response = await responseTo(incoming, gone.signal);
  const headers = Object.fromEntries(response.headers);
  outgoing.writeHead(response.status, stopping ? { ...headers, connection: 'close' } : headers);
  outgoing.end(await response.text(), () => incoming.complete || cut(incoming));
}

/** What the fetch API has no request for, such as TRACE or the address `//`, has to be refused here. */
function responseTo(incoming, signal) {
  let request;
  try {
    request = requestOf(incoming, signal);
  } catch {
    const error = { code: 'request', message: 'This method or this address cannot be asked for' };
    return Response.json({ error }, { status: 400, headers: { 'cache-control': 'no-store' } });
  }
  return handle(request);
}

/** Cuts the line of a client that is refused while it sends: not at once, or it would not read why. */
function cut(incoming) {
  let rest = MOST_IN_VAIN;
  const end = () => incoming.complete || incoming.destroy();
  incoming.on('data', ({ length }) => (rest -= length) < 0 && end());
  setTimeout(end, TO_TAKE_A_REFUSAL).unref();
}

function requestOf(incoming, signal) {
  const { method, url, headers } = incoming;
  const hasBody = !['GET', 'HEAD'].includes(method);
  // Not `Readable.toWeb`: who stops reading the body would cut off the line that the refusal has to take.
  const body = hasBody ? ReadableStream.from(incoming.iterator({ destroyOnReturn: false })) : null;
  const known = {};
  for (const name of ['content-type', 'content-length', 'content-encoding']) {
    if (headers[name] !== undefined) known[name] = headers[name];
  }
  return new Request(new URL(url, 'http://service'), { method, headers: known, body, duplex: 'half', signal });
}

function stop() {
  if (stopping) return;
  stopping = true;
  setTimeout(() => process.exit(1), TO_THE_END).unref();
  // Idle lines are closed at once, the others after their answers.
  server.close(() => void answer.dispose());
}

process.on('SIGTERM', stop);
process.on('SIGINT', stop);
server.listen(Number(PORT), HOST, () => console.log(`http://${HOST}:${server.address().port}`));
