/* global self, fetch, Headers, Response */
// A service worker for hosts that send no headers: it adds those that make the page and its workers cross-origin isolated, so that
// threads can share memory. Everything else is fetched past it. web/isolation.ts registers it.

self.addEventListener('install', () => self.skipWaiting());

self.addEventListener('fetch', event => {
  const {mode, destination} = event.request;
  if (mode === 'navigate' || destination === 'worker') event.respondWith(isolated(event.request));
});

async function isolated(request) {
  const response = await fetch(request);
  if (response.status === 0) return response; // a redirection, which the browser follows
  const headers = new Headers(response.headers);
  headers.set('Cross-Origin-Opener-Policy', 'same-origin');
  headers.set('Cross-Origin-Embedder-Policy', 'require-corp');
  const {status, statusText} = response;
  return new Response(response.body, {status, statusText, headers});
}
