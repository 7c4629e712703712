// A static file server for the tests: one origin, files below given folders, strict headers.
//
//   const server = await serve({ '/dist/': 'dist', '/fixtures/': '../tests/fixtures' });
//   await fetch(server.url + '/dist/index.js');
//   await server.close();

import { createServer } from 'node:http';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { extname, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder of the package, `web/`: relative folders are below it. */
export const WEB = fileURLToPath(new URL('../..', import.meta.url));

/** What a careful site sends. Neither `unsafe-eval` nor cross-origin isolation: the package must need neither. */
export const STRICT_CSP =
  "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'; worker-src 'self'; style-src 'self'";

const TYPES = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json',
  '.mjs': 'text/javascript; charset=utf-8',
  '.safetensors': 'application/octet-stream',
  '.txt': 'text/plain; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.wasm': 'application/wasm',
  '.webmanifest': 'application/manifest+json',
};

const EMPTY_PAGE = '<!doctype html><meta charset="utf-8"><title>test</title><main></main>';

/**
 * Serves on 127.0.0.1, at a port of the system's choice.
 *
 * @param {Record<string, string>} mounts folders by URL prefix (both with or without a closing slash), relative to
 *   `web/`; the longest prefix that fits wins. `/` answers an empty page, if no mount has it.
 * @param {object} [options]
 * @param {string | null} [options.csp] the Content-Security-Policy of every answer; null for none
 * @param {Record<string, string>} [options.headers] more headers for every answer
 * @param {(request, response, url: URL) => unknown} [options.handle] sees every request first; what it answers itself
 *   (`response.writableEnded` or `headersSent`, or it returns true) is not served from files. May be async.
 * @returns {Promise<{ url: string, requests: string[], close: () => Promise<void> }>} `url` has no closing slash;
 *   `requests` grows: the path and query of each request, in order
 */
export async function serve(mounts, { csp = STRICT_CSP, headers = {}, handle } = {}) {
  const folders = Object.entries(mounts)
    .map(([prefix, folder]) => [prefix.endsWith('/') ? prefix : `${prefix}/`, resolve(WEB, folder)])
    .sort(([a], [b]) => b.length - a.length);
  const requests = [];

  async function answer(request, response) {
    const url = new URL(request.url, 'http://127.0.0.1');
    requests.push(url.pathname + url.search);
    response.setHeader('cache-control', 'no-store');
    if (csp !== null) response.setHeader('content-security-policy', csp);
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    if (handle && ((await handle(request, response, url)) === true || response.headersSent)) return;

    const path = decodeURIComponent(url.pathname);
    const found = folders.find(([prefix]) => path.startsWith(prefix));
    if (found) {
      const [prefix, folder] = found;
      let file = resolve(folder, path.slice(prefix.length));
      if (file !== folder && !file.startsWith(folder + sep)) return fail(response, 403);
      let info = await stat(file).catch(() => null);
      if (info?.isDirectory()) {
        file = resolve(file, 'index.html');
        info = await stat(file).catch(() => null);
      }
      if (info) return send(response, file, info.size);
    }
    if (path !== '/') return fail(response, 404);
    response.setHeader('content-type', TYPES['.html']);
    response.end(EMPTY_PAGE);
  }

  const server = createServer((request, response) => {
    answer(request, response).catch((error) => {
      if (!response.headersSent) fail(response, 500, String(error));
      else response.destroy();
    });
  });
  await new Promise((ready, failed) => server.once('error', failed).listen(0, '127.0.0.1', ready));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    requests,
    close: () =>
      new Promise((closed) => {
        server.close(() => closed());
        server.closeAllConnections();
      }),
  };
}

function fail(response, status, text = '') {
  response.statusCode = status;
  response.end(text);
}

function send(response, file, size) {
  response.setHeader('content-type', TYPES[extname(file)] ?? 'application/octet-stream');
  response.setHeader('content-length', size);
  if (response.req.method === 'HEAD') return void response.end();
  createReadStream(file)
    .on('error', () => response.destroy())
    .pipe(response);
}
