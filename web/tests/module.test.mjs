// The package's own WebAssembly: another build of it is never run, whatever a cache or a host still has.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openSite } from './support/browser.mjs';
import { WEB } from './support/server.mjs';

const PATH = '/dist/wasm/cloze_bg.wasm';
const RIGHT = readFileSync(join(WEB, 'dist/wasm/cloze_bg.wasm'));
/** It compiles, and has a section more than the right one. */
const OTHER = Buffer.concat([RIGHT, Buffer.from([0, 2, 1, 0x78])]);

const open = async ({ pipeline }, { worker }) => {
  const answer = await pipeline('question-answering', { device: 'wasm', worker });
  const [best] = await answer('Where is Ada?', 'Ada lives in Rome.');
  await answer.dispose();
  return best.answer;
};

/** A site whose host gives what `body` says for the module, as caches on the way may keep it. */
async function site(body, work) {
  const opened = await openSite('none', {
    handle: (request, response, { pathname }) => {
      if (pathname !== PATH) return false;
      const bytes = body(request.headers);
      response.statusCode = bytes ? 200 : 404;
      response.setHeader('content-type', bytes ? 'application/wasm' : 'text/html');
      response.setHeader('cache-control', 'max-age=3600, immutable');
      response.end(bytes ?? '<!doctype html>');
      return true;
    },
  });
  try {
    await work(opened);
  } finally {
    await opened.close();
  }
}

for (const worker of [true, false]) {
  const where = worker ? 'in a worker' : 'in the page';
  test(`a cached copy of another build is passed by, ${where}`, () => {
    let asked = 0;
    // Who asks past the caches has the new one.
    return site(
      (headers) => (/no-cache/.test(headers['cache-control'] ?? '') ? ((asked += 1), RIGHT) : OTHER),
      async ({ run, problems }) => {
        assert.equal(await run(open, { worker }), 'Rome');
        assert.equal(asked, 1);
        assert.ok(
          problems.every((problem) => /integrity/.test(problem)),
          problems.join('\n'),
        );
      },
    );
  });

  test(`a host of another build is refused, ${where}`, () =>
    site(
      () => OTHER,
      ({ run }) =>
        assert.rejects(run(open, { worker }), {
          code: 'io',
          message: /cloze_bg\.wasm cannot be loaded: .*of one version/,
        }),
    ));

  test(`so is one that has no module, ${where}`, () =>
    site(
      () => undefined,
      ({ run }) => assert.rejects(run(open, { worker }), { code: 'io', message: /cloze_bg\.wasm cannot be loaded: / }),
    ));
}
