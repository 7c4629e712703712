/**
 * Lets the page work with the network off: keeps the files of one build, whole, and answers for them.
 *
 * Each build has a cache of its own, and each file in it the digest that the build gave it: what a host or a cache on
 * the way still has of another build is never mixed in. Pages of an older build that are open when this one takes over
 * go on with the older files, until none of them is left.
 *
 * Models are not among the files: the package keeps those in a cache of its own, so that weights are stored once.
 */

// A module, so that `self` is this one's own.
export {};
declare const self: ServiceWorkerGlobalScope;

/** Both are filled in by the build. */
const VERSION: string = '__VERSION__';
const FILES: string = '__FILES__';

const { scope } = self.registration;
/** Of this page alone: below other paths of the same origin there may be others, of other builds. */
const PREFIX = `cloze page ${scope} `;
const CACHE = PREFIX + VERSION;
/** What caches were called that all paths of an origin had in common. */
const FORMER = /^cloze-demo-[0-9a-f]{16}$/;
const ASSETS = new URL('assets/', scope).href;
const page = new URL('index.html', scope).href;
/** Where the cache holds what it is to outlive: no page asks for this. */
const OLDER = `${scope}?older`;

/** Digests by addresses. */
const kept = new Map(
  Object.entries(JSON.parse(FILES) as Record<string, string>).map(([file, digest]) => [
    new URL(file, scope).href,
    digest,
  ]),
);

/** Caches of older builds, and the pages that may be of one, which are known once this build has taken over. */
interface Older {
  caches: string[];
  pages?: string[];
}

self.addEventListener('install', (event) => {
  const keep = async (): Promise<void> => {
    const older = await cachesBefore();
    const cache = await caches.open(CACHE);
    try {
      await Promise.all([...kept.keys()].map(async (url) => cache.put(url, await fetched(url))));
      await cache.put(OLDER, Response.json({ caches: older } satisfies Older));
    } catch (error) {
      // The build before this one goes on, and the browser tries again.
      await caches.delete(CACHE);
      throw error;
    }
  };
  event.waitUntil(keep());
});

self.addEventListener('activate', (event) => {
  const takeOver = async (): Promise<void> => {
    const cache = await caches.open(CACHE);
    const open = await self.clients.matchAll({ type: 'window', includeUncontrolled: true });
    const older = { caches: (await olderIn(cache)).caches, pages: open.map(({ id }) => id) };
    await cache.put(OLDER, Response.json(older satisfies Older));
    await sweep();
    await self.clients.claim();
  };
  event.waitUntil(takeOver());
});

self.addEventListener('message', (event) => {
  // The page asks the next version to take over once the visitor agrees, and when it is there says so.
  if (event.data === 'take over') event.waitUntil(self.skipWaiting());
  if (event.data === 'here') event.waitUntil(sweep());
});

self.addEventListener('fetch', (event) => {
  const { request } = event;
  if (request.method !== 'GET') return;
  const url = new URL(request.url);
  url.search = '';
  url.hash = '';
  const wanted = url.href === scope ? page : url.href;
  if (kept.has(wanted)) event.respondWith(own(wanted, request));
  else if (wanted.startsWith(ASSETS)) event.respondWith(another(wanted, request));
});

/** A file of this build. */
async function own(url: string, request: Request): Promise<Response> {
  const cache = await caches.open(CACHE);
  const sound = await checked(url, await cache.match(url));
  if (sound) return sound;
  // Lost or damaged. Where the host has another build by now, its answer is better than none.
  const again = await fetched(url).catch(() => undefined);
  if (!again) return fetch(request);
  await cache.put(url, again.clone());
  return again;
}

/** A file that this build does not have: of an older one, or of none that is kept. */
async function another(url: string, request: Request): Promise<Response> {
  for (const name of (await olderIn(await caches.open(CACHE))).caches) {
    // Not `open`, which would make it.
    const found = await caches.match(url, { cacheName: name });
    if (found) return found;
  }
  return fetch(request);
}

/** The file of this build. What a cache on the way has of another build is passed by, by another address. */
async function fetched(url: string): Promise<Response> {
  // Names under assets/ change with the contents; of the others the host may have newer ones.
  const first = await fetch(url, { cache: url.startsWith(ASSETS) ? 'default' : 'no-cache' });
  const response =
    (await checked(url, first)) ?? (await checked(url, await fetch(`${url}?${VERSION}`, { cache: 'reload' })));
  if (!response) throw new Error(`${url} is not the file of this build`);
  return response;
}

/** A response that has the digest of the build's file, as it can be kept; nothing for others. */
async function checked(url: string, response: Response | undefined): Promise<Response | undefined> {
  if (!response?.ok) return undefined;
  const bytes = await response.arrayBuffer();
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  if (btoa(String.fromCharCode(...digest)) !== kept.get(url)) return undefined;
  const headers = new Headers(response.headers);
  // The bytes are unpacked, and the same for everybody.
  for (const name of ['content-encoding', 'content-length', 'vary']) headers.delete(name);
  return new Response(bytes, { headers });
}

/** The caches of this page's builds so far. */
async function cachesBefore(): Promise<string[]> {
  const names: string[] = [];
  for (const name of await caches.keys()) {
    const isFormer = FORMER.test(name) && (await caches.match(page, { cacheName: name })) !== undefined;
    if (name !== CACHE && (isFormer || name.startsWith(PREFIX))) names.push(name);
  }
  return names;
}

async function olderIn(cache: Cache): Promise<Older> {
  const found = await cache.match(OLDER);
  return found ? ((await found.json()) as Older) : { caches: [] };
}

/** Drops the caches of older builds once no page is left that may need them. */
async function sweep(): Promise<void> {
  const cache = await caches.open(CACHE);
  const { caches: names, pages } = await olderIn(cache);
  if (names.length === 0 || !pages) return;
  const open = await self.clients.matchAll({ type: 'window', includeUncontrolled: true });
  if (open.some(({ id }) => pages.includes(id))) return;
  for (const name of names) await caches.delete(name);
  // One of them may come back as a newer one.
  await cache.delete(OLDER);
}
