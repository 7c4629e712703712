/** The service worker: after one visit the page works with the network off. Without one it works all the same. */

import { byId } from './dom.ts';

/** The worker that this page came from, or that took charge of it first. */
let first = navigator.serviceWorker?.controller ?? null;

/** @param kept called once the page's files are kept */
export async function startOffline(kept: () => void): Promise<void> {
  if (!('serviceWorker' in navigator)) return;
  const { serviceWorker } = navigator;
  let registration: ServiceWorkerRegistration;
  try {
    registration = await serviceWorker.register(new URL('service-worker.js', document.baseURI));
  } catch {
    // A private window, a page without https.
    return;
  }
  void serviceWorker.ready.then(({ active }) => {
    // Older pages are gone from this tab: their files may go too.
    active?.postMessage('here');
    kept();
  });
  const update = byId('update');
  const offer = (): void => {
    // With no worker in charge yet there is no older version to be replaced.
    if (registration.waiting && serviceWorker.controller) update.hidden = false;
  };
  offer();
  registration.addEventListener('updatefound', () => {
    registration.installing?.addEventListener('statechange', offer);
  });
  let isWanted = false;
  const changed = (): void => {
    // The visitor let the new version take over in another tab. This page goes on as it is until it is reloaded.
    first ??= serviceWorker.controller;
    if (serviceWorker.controller !== first) update.hidden = false;
    if (isWanted) location.reload();
  };
  changed();
  serviceWorker.addEventListener('controllerchange', changed);
  byId('update-now').addEventListener('click', () => {
    isWanted = true;
    if (registration.waiting) registration.waiting.postMessage('take over');
    else location.reload();
  });
}
