/** Milliseconds that a service worker may take to start. */
const patience = 3000;

const key = 'eigenkv-isolation';

/**
 * Makes the page cross-origin isolated where its host sends no headers for it: a service worker adds them once the page is loaded anew, which
 * happens once. Where that is not possible (private windows, http, frames), the page goes on as it is, with one thread.
 */
export async function isolate(): Promise<void> {
  if (globalThis.crossOriginIsolated || !('serviceWorker' in navigator)) return;
  try {
    if (sessionStorage.getItem(key) !== null) return; // it was tried in this tab, and the page is not isolated all the same
    sessionStorage.setItem(key, 'tried');
    await navigator.serviceWorker.register('./isolation_worker.js');
    await Promise.race([
      navigator.serviceWorker.ready,
      new Promise((_, reject) => setTimeout(reject, patience)),
    ]);
  } catch {
    return;
  }
  location.reload();
  await new Promise(() => undefined); // nothing starts meanwhile
}
