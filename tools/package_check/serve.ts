import {spawn} from 'node:child_process';
import {readFile} from 'node:fs/promises';
import {createServer} from 'node:http';
import {extname, join} from 'node:path';
import {isolationHeaders} from '../../test/web/browser/support.js';

export interface Served {
  readonly url: string;
  close(): void;
}

const types: Readonly<Record<string, string>> = {
  '.css': 'text/css',
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
};

/** A host of static files. */
export async function serveFolder(folder: string, isolated: boolean): Promise<Served> {
  const headers = isolated ? isolationHeaders : {};
  const server = createServer((request, response) => {
    const {pathname} = new URL(request.url ?? '', 'http://localhost');
    const file = join(folder, pathname.endsWith('/') ? `${pathname}index.html` : pathname);
    readFile(file).then(
      bytes =>
        response
          .writeHead(200, {'content-type': types[extname(file)] ?? 'text/plain', ...headers})
          .end(bytes),
      () => response.writeHead(404).end(),
    );
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('The server has no port.');
  return {url: `http://127.0.0.1:${address.port}/`, close: () => server.close()};
}

/** Vite as it serves the sources of a page, with no more configuration than headers. */
export async function startVite(app: string, isolated: boolean): Promise<Served> {
  const config = `{headers: ${JSON.stringify(isolated ? isolationHeaders : {})}, host: '127.0.0.1', port: 0}`;
  const script = `import {createServer} from 'vite';
const server = await createServer({server: ${config}, logLevel: 'error'});
await server.listen();
console.log(server.resolvedUrls.local[0]);`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {cwd: app});
  const url = await new Promise<string>((resolve, reject) => {
    child.stdout.once('data', (text: Buffer) => resolve(text.toString().trim()));
    child.stderr.once('data', (text: Buffer) => reject(new Error(`Vite does not serve: ${text.toString()}`)));
    child.once('exit', code => reject(new Error(`Vite ends with ${code}.`)));
  });
  return {url, close: () => void child.kill()};
}
