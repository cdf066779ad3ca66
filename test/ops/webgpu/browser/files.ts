/** Stands in for `node:fs` in the page: the server gives the repository's files. */
export function readFileSync(url: URL): string {
  const request = new XMLHttpRequest();
  request.open('GET', url, false);
  request.send();
  if (request.status !== 200) throw new Error(`${url.href}: ${request.status}`);
  return request.responseText;
}
