import {BackendError} from '../../base/errors.js';
import {runsInNode} from '../../base/optional_package.js';
import {workerScript} from './worker_script.js';

/** A thread that serves. */
export interface Thread {
  /** Ends it, whatever it does; resolves when it is gone. */
  terminate(): Promise<void>;
}

/** What a thread gets (worker_script.ts). */
export interface ThreadMessage {
  readonly control: SharedArrayBuffer;
  readonly memory: object;
  readonly module: object;
  /** Its index; the caller is 0. */
  readonly thread: number;
}

/**
 * Starts a worker and resolves when it serves.
 *
 * @param patience ms that it may take.
 * @throws BackendError if it does not start.
 */
export async function startThread(message: ThreadMessage, patience: number): Promise<Thread> {
  const {thread, answer} = runsInNode() ? nodeWorker(message) : pageWorker(message);
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<string>(resolve => {
    timer = setTimeout(() => resolve(`it gave no sign within ${patience / 1000} s`), patience);
  });
  const said = await Promise.race([answer, late]);
  clearTimeout(timer);
  if (said === 'ready') return thread;
  await thread.terminate();
  throw new BackendError(`A thread did not start: ${said}.`);
}

interface Started {
  readonly thread: Thread;
  /** 'ready', or why not. */
  readonly answer: Promise<string>;
}

function nodeWorker(message: ThreadMessage): Started {
  const {Worker} = process.getBuiltinModule('node:worker_threads');
  // none of the options that this process was started with: loaders would only take time
  const worker = new Worker(workerScript, {eval: true, execArgv: [], stdin: false});
  const answer = new Promise<string>(resolve => {
    worker.once('message', (text: string) => {
      worker.unref(); // a process ends without being asked to stop its threads
      resolve(text);
    });
    worker.once('error', error => resolve(String(error)));
    worker.once('exit', () => resolve('it ended at once'));
  });
  worker.postMessage(message);
  return {
    thread: {
      terminate: async () => {
        await worker.terminate();
      },
    },
    answer,
  };
}

function pageWorker(message: ThreadMessage): Started {
  const url = URL.createObjectURL(new Blob([workerScript], {type: 'text/javascript'}));
  const worker = new Worker(url);
  const answer = new Promise<string>(resolve => {
    worker.onmessage = ({data}) => resolve(String(data));
    worker.onerror = ({message: reason}) => {
      resolve(reason || 'the page allows no workers made of Blobs (CSP: worker-src blob:)');
    };
  });
  void answer.then(() => URL.revokeObjectURL(url));
  worker.postMessage(message);
  const thread = {
    terminate: () => {
      worker.terminate();
      return Promise.resolve();
    },
  };
  return {thread, answer};
}
