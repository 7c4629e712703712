/**
 * Lets the page work with the network off: keeps the files of one build, whole, and answers for them.
 *
 * Models are not among them: the package keeps those in a cache of its own, so that weights are stored once.
 */

// A module, so that `self` is this one's own.
export {};
declare const self: ServiceWorkerGlobalScope;

/** Both are filled in by the build. */
const VERSION: string = '__VERSION__';
const FILES: string = '__FILES__';

const PREFIX = 'cloze-demo-';
const CACHE = PREFIX + VERSION;
const scope = self.registration.scope;
const page = new URL('index.html', scope).href;
const kept = new Set((JSON.parse(FILES) as string[]).map((file) => new URL(file, scope).href));

self.addEventListener('install', (event) => {
  const keep = async (): Promise<void> => {
    const cache = await caches.open(CACHE);
    // Names under assets/ change with the contents; of the others the host may have newer ones.
    const fresh = (url: string): RequestCache => (url.includes('/assets/') ? 'default' : 'no-cache');
    await cache.addAll([...kept].map((url) => new Request(url, { cache: fresh(url) })));
  };
  event.waitUntil(keep());
});

self.addEventListener('activate', (event) => {
  const clean = async (): Promise<void> => {
    for (const name of await caches.keys()) {
      if (name.startsWith(PREFIX) && name !== CACHE) await caches.delete(name);
    }
    await self.clients.claim();
  };
  event.waitUntil(clean());
});

/** The page asks the next version to take over once the visitor agrees. */
self.addEventListener('message', ({ data }) => {
  if (data === 'take over') void self.skipWaiting();
});

self.addEventListener('fetch', (event) => {
  const { request } = event;
  if (request.method !== 'GET') return;
  const url = new URL(request.url);
  url.search = '';
  url.hash = '';
  const wanted = url.href === scope ? page : url.href;
  if (!kept.has(wanted)) return;
  const answer = async (): Promise<Response> => {
    const cached = await (await caches.open(CACHE)).match(wanted);
    return cached ?? fetch(request);
  };
  event.respondWith(answer());
});
