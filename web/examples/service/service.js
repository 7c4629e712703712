/**
 * Question answering over HTTP: what Node and workerd have in common, on the fetch API alone.
 *
 *     POST /answer  {"question": "…", "context": "…", "topK": 1}  ->  {"answers": [{"answer", "score", "start", "end"}]}
 *     GET  /health                                                ->  {"status": "ok", "working": 0, "reading": 0}
 *
 * Whatever is refused says why: {"error": {"code", "message"}}.
 */

export const LIMITS = {
  /** Bytes of a body: a longest question and context, with every character escaped. */
  body: 64 * 1024,
  /** UTF-16 units. */
  question: 500,
  context: 10_000,
  /**
   * Tokens, as `tokensOf` estimates them. They are what an answer costs: each of the context is read in one or two
   * windows of 384 tokens, and each window begins with the question. Ordinary prose of the lengths above has fewer.
   */
  questionTokens: 64,
  contextTokens: 4000,
  topK: 10,
  /** Requests that wait for an answer, with the one that is worked on. More are sent away. */
  queue: 16,
  /** Bodies that are read at once: with `body` the most memory that strangers can take. */
  bodies: 128,
  /** Milliseconds for a body, then for its answer, waiting included, and for the work on it alone. */
  bodyTime: 5000,
  answerTime: 30_000,
  workTime: 10_000,
  /** Seconds after which those who were sent away may come again. */
  retryAfter: 1,
};

/** A request that is not answered, and why. */
class Refusal extends Error {
  constructor(status, code, message, headers = {}) {
    super(message);
    Object.assign(this, { status, code, headers });
  }
}

/**
 * A function from a `Request` to the promise of its `Response`, which never rejects.
 *
 * `answer(question, context, { topK, signal })` is the package's pipeline, or what opens it when it is needed. Nothing
 * of a request is kept when it is over.
 */
export function service(answer, limits = {}) {
  const most = { ...LIMITS, ...limits };
  const busy = { reading: 0, working: 0 };
  /** Ends when the last request so far has. */
  let last = Promise.resolve();

  const routes = {
    '/health': { GET: () => json(200, { status: 'ok', ...busy }) },
    '/answer': { POST: answerTo },
  };

  async function answerTo(request) {
    checkType(request);
    const text = await admitted('reading', most.bodies, most.bodyTime, tooSlow, request, (signal) =>
      readText(request, most.body, signal),
    );
    const { question, context, topK = 1 } = readFields(text, most);
    const answers = await admitted('working', most.queue, most.answerTime, tooLong, request, (signal) =>
      inTurn(signal, (signal) => answer(question, context, { topK, signal })),
    );
    return json(200, { answers });
  }

  /** Does `work` when all that came before is done, for no longer than a request may be worked on. */
  async function inTurn(signal, work) {
    const before = last;
    let done;
    last = new Promise((resolve) => (done = resolve));
    const stop = new AbortController();
    const left = new Promise((_, reject) => {
      signal.addEventListener('abort', () => {
        stop.abort(signal.reason);
        reject(signal.reason);
      });
    });
    let timer;
    try {
      await Promise.race([before, left]);
      timer = setTimeout(() => stop.abort(tooCostly(most.workTime)), most.workTime);
      return await Promise.race([work(stop.signal), left]);
    } catch (error) {
      throw stop.signal.aborted ? stop.signal.reason : error;
    } finally {
      clearTimeout(timer);
      // Who leaves the queue lets nobody past those before it.
      void before.then(done);
    }
  }

  /** Does `work` if there is room for it, and stops it when its time is over or nobody waits for it any more. */
  async function admitted(room, places, time, late, request, work) {
    if (busy[room] >= places) {
      const again = { 'retry-after': String(most.retryAfter) };
      throw new Refusal(503, 'busy', `${places} requests are at work. Ask again later`, again);
    }
    const stop = new AbortController();
    const leave = () => stop.abort(new Refusal(499, 'gone', 'The client has gone'));
    const timer = setTimeout(() => stop.abort(late(time)), time);
    request.signal.addEventListener('abort', leave);
    busy[room] += 1;
    try {
      if (request.signal.aborted) leave();
      stop.signal.throwIfAborted();
      return await work(stop.signal);
    } catch (error) {
      throw stop.signal.aborted ? stop.signal.reason : error;
    } finally {
      busy[room] -= 1;
      clearTimeout(timer);
      request.signal.removeEventListener('abort', leave);
    }
  }

  return async function handle(request) {
    try {
      const { pathname } = new URL(request.url);
      const route = Object.hasOwn(routes, pathname) ? routes[pathname] : undefined;
      if (!route) throw new Refusal(404, 'not_found', 'There are POST /answer and GET /health');
      // A HEAD is a GET whose body is left out by who sends it.
      const method = request.method === 'HEAD' ? 'GET' : request.method;
      if (!Object.hasOwn(route, method)) {
        const allow = Object.keys(route)
          .map((name) => (name === 'GET' ? 'GET, HEAD' : name))
          .join(', ');
        throw new Refusal(405, 'method', `${pathname} takes ${allow}`, { allow });
      }
      return await route[method](request);
    } catch (error) {
      return refused(error);
    }
  };
}

const tooSlow = (ms) => new Refusal(408, 'slow_body', `The body did not come within ${ms} ms`);
const tooLong = (ms) => new Refusal(504, 'timeout', `There is no answer within ${ms} ms`);
const tooCostly = (ms) =>
  new Refusal(422, 'too_costly', `The answer takes more than ${ms} ms of work. Ask about a shorter text`);
const tooLarge = (bytes) => new Refusal(413, 'too_large', `A body has at most ${bytes} bytes`);

function json(status, value, headers = {}) {
  const known = { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' };
  return Response.json(value, { status, headers: { ...known, ...headers } });
}

function refused(error) {
  if (error instanceof Refusal) {
    const { status, code, message, headers } = error;
    return json(status, { error: { code, message } }, headers);
  }
  // What the package says of texts and options concerns the client, all else the operator alone.
  if (error?.name === 'ClozeError' && ['input', 'option'].includes(error.code)) {
    return json(422, { error: { code: error.code, message: error.message } });
  }
  console.error(error);
  return json(500, { error: { code: 'internal', message: 'Something is out of order here' } });
}

function checkType(request) {
  const type = request.headers.get('content-type') ?? '';
  const isJson = /^\s*application\/json\s*(;\s*charset\s*=\s*"?utf-8"?\s*)?$/i.test(type);
  if (!isJson || request.headers.has('content-encoding')) {
    throw new Refusal(415, 'content_type', 'The body must be application/json in UTF-8, and not compressed');
  }
}

/** The body, of which no more is read than it may have, whatever it claims to have. */
async function readText(request, limit, signal) {
  if (Number(request.headers.get('content-length')) > limit) throw tooLarge(limit);
  if (!request.body) return '';
  const reader = request.body.getReader();
  const cancel = () => void reader.cancel().catch(() => {});
  const decoder = new TextDecoder('utf-8', { fatal: true });
  signal.addEventListener('abort', cancel);
  try {
    let text = '';
    for (let length = 0; ;) {
      const { done, value } = await reader.read();
      signal.throwIfAborted();
      if (done) return text + decoder.decode();
      if ((length += value.length) > limit) throw tooLarge(limit);
      text += decoder.decode(value, { stream: true });
    }
  } catch (error) {
    if (error instanceof Refusal) throw error;
    throw new Refusal(400, 'body', 'The body broke off, or is not UTF-8');
  } finally {
    signal.removeEventListener('abort', cancel);
    cancel();
  }
}

function readFields(text, most) {
  const fields = parse(text);
  if (typeof fields !== 'object' || fields === null || Array.isArray(fields)) {
    throw new Refusal(422, 'fields', 'The body must be an object with question and context');
  }
  for (const name of Object.keys(fields)) {
    if (!['question', 'context', 'topK'].includes(name)) {
      throw new Refusal(422, 'fields', `There are the fields question, context and topK, not ${name.slice(0, 40)}`);
    }
  }
  for (const name of ['question', 'context']) {
    const value = fields[name];
    if (typeof value !== 'string') throw new Refusal(422, 'fields', `${name} must be a string`);
    if (value.length > most[name]) throw new Refusal(422, 'too_long', `${name} has at most ${most[name]} characters`);
    if (value.trim() === '') throw new Refusal(422, 'empty', `${name} is empty`);
    const tokens = tokensOf(value);
    const limit = most[`${name}Tokens`];
    if (tokens > limit) {
      throw new Refusal(422, 'too_long', `${name} has some ${tokens} tokens, of at most ${limit}. Give a shorter one`);
    }
  }
  const { topK = 1 } = fields;
  if (!Number.isInteger(topK) || topK < 1 || topK > most.topK) {
    throw new Refusal(422, 'fields', `topK must be a whole number from 1 to ${most.topK}`);
  }
  return fields;
}

/**
 * About how many tokens a text has, rather more than fewer: three letters or digits of ASCII make one, and so does every
 * other character that is not white space, each part of a Korean syllable among them.
 */
function tokensOf(text) {
  let tokens = 0;
  for (const [word] of text.normalize('NFD').matchAll(/[a-z0-9\p{M}]+|\S/giu)) tokens += Math.ceil(word.length / 3);
  return tokens;
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new Refusal(400, 'json', 'The body is no JSON');
  }
}
