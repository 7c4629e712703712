// A host of models that can be told to fail, for tests of the loader. It goes before the static server, as `handle`.

import { createHash } from 'node:crypto';

export const hex = (bytes) => createHash('sha256').update(bytes).digest('hex');

/** Bytes without a pattern, the same for the same seed. */
export function noise(length, seed = 1) {
  const bytes = Buffer.alloc(length);
  for (let i = 0, x = (seed * 2654435761) >>> 0 || 1; i < length; i++) {
    ((x ^= x << 13), (x ^= x >>> 17), (x ^= x << 5));
    bytes[i] = x & 255;
  }
  return bytes;
}

/** Two parts of the cache, the last one short. */
export const WEIGHTS = noise(5 << 20);

const SMALL = noise(100_000);

/** The smallest set of files that is a model to the loader. */
export const model = (weights = SMALL) => ({
  'config.json': Buffer.from('{"model_type": "bert"}'),
  'vocab.txt': Buffer.from('[PAD]\n[UNK]\n'),
  'model.safetensors': weights,
});

export const digests = (files) => Object.fromEntries(Object.entries(files).map(([file, bytes]) => [file, hex(bytes)]));

/**
 * `files` by path; `faults` by path, each with the number of requests that it meets (`times`, default all) and any of:
 * `status`, `headers`, `body` (instead of the file), `cut` (bytes after which the connection breaks), `deaf` (no
 * ranges), `slow` (milliseconds before each 256 KiB), `then` (called when the answer is over).
 */
export class Host {
  files = new Map();
  faults = new Map();
  /** Every request: method, path, headers, and how many bytes of a body were sent. */
  log = [];
  /** Headers of every answer. */
  headers = {};

  add(base, files) {
    for (const [file, bytes] of Object.entries(files)) this.files.set(base + file, Buffer.from(bytes));
    return digests(files);
  }

  fault(path, fault) {
    this.faults.set(path, { times: Infinity, ...fault });
  }

  /** What was asked for since, as `GET path`, with a range where there was one. */
  take() {
    const asked = this.log.map(
      ({ method, path, headers }) => `${method} ${path}${headers.range ? ` ${headers.range}` : ''}`,
    );
    this.log.length = 0;
    return asked;
  }

  handle = async (request, response, url) => {
    const path = decodeURIComponent(url.pathname);
    if (!/^\/(models|api|hub)\//.test(path)) return false;
    const entry = { method: request.method, path: path + url.search, headers: request.headers, sent: 0 };
    this.log.push(entry);
    const fault = this.faults.get(path);
    const met = fault && fault.times-- > 0 ? fault : {};
    const bytes = met.body ?? this.files.get(path);
    for (const [name, value] of Object.entries({ ...this.headers, ...met.headers })) response.setHeader(name, value);
    if (request.method === 'OPTIONS' || met.status || !bytes) {
      response.statusCode = request.method === 'OPTIONS' ? 204 : (met.status ?? 404);
      response.end('no');
    } else {
      await this.send(request, response, bytes, met, entry);
    }
    met.then?.();
    return true;
  };

  async send(request, response, bytes, { cut = Infinity, deaf, slow, headers = {} }, entry) {
    const etag = `"${hex(bytes).slice(0, 16)}"`;
    const range = deaf ? null : /^bytes=(\d+)-$/.exec(request.headers.range ?? '');
    const same = [undefined, etag].includes(request.headers['if-range']);
    const start = range && same ? Number(range[1]) : 0;
    if (!response.hasHeader('etag') && headers.etag !== null) response.setHeader('etag', etag);
    if (range && same) {
      response.statusCode = start < bytes.length ? 206 : 416;
      const span = start < bytes.length ? `${start}-${bytes.length - 1}` : '*';
      response.setHeader('content-range', `bytes ${span}/${bytes.length}`);
    }
    if (response.statusCode === 416) return void response.end();
    if (!response.hasHeader('content-type')) response.setHeader('content-type', 'application/octet-stream');
    if (!response.hasHeader('content-length') && !response.hasHeader('transfer-encoding'))
      response.setHeader('content-length', bytes.length - start);
    if (request.method === 'HEAD') return void response.end();
    for (let at = start; at < bytes.length && !response.destroyed;) {
      const end = Math.min(at + (256 << 10), bytes.length, start + cut);
      if (slow) await new Promise((go) => setTimeout(go, slow));
      await new Promise((sent) => response.write(bytes.subarray(at, end), sent));
      entry.sent += end - at;
      at = end;
      if (at < start + cut || at >= bytes.length) continue;
      // Let what was sent arrive, then break.
      await new Promise((go) => setTimeout(go, 30));
      return void response.destroy();
    }
    response.end();
  }
}

export const COMMIT = '0123456789abcdef0123456789abcdef01234567';

/**
 * Puts a model on a Hub of its own at `/hub/NAME` of the server `url`. Gives the address of that Hub, its answer, and
 * how to make it say another.
 */
export function addHub(
  host,
  url,
  name,
  files,
  { commit = COMMIT, revision = 'main', large = /\.safetensors$/, siblings = [] } = {},
) {
  const answer = {
    sha: commit,
    siblings: [
      ...Object.entries(files).map(([rfilename, bytes]) => ({
        rfilename,
        size: bytes.length,
        ...(large.test(rfilename) && { lfs: { sha256: hex(bytes), size: bytes.length, pointerSize: 134 } }),
      })),
      ...siblings,
    ],
  };
  const api = `/hub/${name}/api/models/me/${name}/revision/${revision}`;
  const say = (changed) =>
    host.files.set(api, Buffer.from(typeof changed === 'string' ? changed : JSON.stringify(changed)));
  say(answer);
  host.add(`/hub/${name}/me/${name}/resolve/${commit}/`, files);
  return {
    id: `me/${name}`,
    hub: `${url}/hub/${name}`,
    answer,
    say,
    api,
    base: `/hub/${name}/me/${name}/resolve/`,
  };
}
