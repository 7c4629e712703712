/** The service worker: after one visit the page works with the network off. Without one it works all the same. */

import { byId } from './dom.ts';

/** @param kept called once the page's files are kept */
export async function startOffline(kept: () => void): Promise<void> {
  if (!('serviceWorker' in navigator)) return;
  let registration: ServiceWorkerRegistration;
  try {
    registration = await navigator.serviceWorker.register(new URL('service-worker.js', document.baseURI));
  } catch {
    // A private window, a page without https.
    return;
  }
  void navigator.serviceWorker.ready.then(kept);
  const offer = (): void => {
    // With no worker in charge yet there is no older version to be replaced.
    if (registration.waiting && navigator.serviceWorker.controller) byId('update').hidden = false;
  };
  offer();
  registration.addEventListener('updatefound', () => {
    registration.installing?.addEventListener('statechange', offer);
  });
  byId('update-now').addEventListener('click', () => {
    navigator.serviceWorker.addEventListener('controllerchange', () => location.reload(), { once: true });
    registration.waiting?.postMessage('take over');
  });
}
