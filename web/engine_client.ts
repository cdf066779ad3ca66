import type {Answered, BrowserBackend, Reply, Request} from './engine/protocol.js';

/**
 * The page's end of the worker. Every model gets a worker of its own, so that nothing of the former one stays in memory;
 * the former one goes on until the new one has loaded, and stays if that fails.
 */
export class EngineClient {
  private worker: Worker | undefined;
  private starting: Worker | undefined;
  private lastId = 0;
  /** The newest request of each kind: answers to older ones are out of date. */
  private readonly newest = {size: 0, task: 0};

  constructor(private readonly onReply: (reply: Reply) => void) {}

  load(backend: BrowserBackend, file: Blob | undefined): void {
    this.starting?.terminate();
    const worker = new Worker(new URL('./engine/worker.ts', import.meta.url), {
      type: 'module',
      name: 'model',
    });
    this.starting = worker;
    worker.addEventListener('message', ({data}: MessageEvent<Answered>) => this.receive(worker, data));
    worker.addEventListener('error', event => {
      event.preventDefault(); // it is shown on the page
      this.receive(worker, this.crash(event));
    });
    this.newest.task = ++this.lastId;
    worker.postMessage({id: this.lastId, kind: 'load', backend, file});
  }

  send(request: Exclude<Request, {kind: 'load'}>): void {
    const id = ++this.lastId;
    if (request.kind === 'size') this.newest.size = id;
    else if (request.kind !== 'stop') this.newest.task = id;
    this.worker?.postMessage({id, ...request});
  }

  private receive(worker: Worker, {id, ...reply}: Answered): void {
    if (worker !== this.starting && worker !== this.worker) return;
    if (worker === this.starting) this.settle(worker, reply);
    else if (id !== (isSize(reply) ? this.newest.size : this.newest.task)) return;
    this.onReply(reply);
  }

  /** A new worker becomes the one, or is gone. */
  private settle(worker: Worker, {kind}: Reply): void {
    if (kind !== 'loaded' && kind !== 'failed') return;
    this.starting = undefined;
    const [gone, stays] = kind === 'loaded' ? [this.worker, worker] : [worker, this.worker];
    gone?.terminate();
    this.worker = stays;
  }

  /** What nothing in the worker caught: it did not start, or its memory ended. */
  private crash({message}: ErrorEvent): Answered {
    const text = message === '' ? 'The worker that runs the model did not start' : message;
    const failure = {
      name: 'Worker stopped',
      message: `${text}. Load the page again.`,
      outOfMemory: /memory/i.test(text),
    };
    return {id: this.newest.task, kind: 'failed', task: 'load', failure};
  }
}

const isSize = ({kind}: Reply) => kind === 'sized' || kind === 'refused';
