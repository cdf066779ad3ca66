import {
  InvalidArgumentError,
  type LoadedModel,
  embeddedText,
  loadModel,
  threadCount,
} from '../../src/index.js';
import {startBackend} from './backends.js';
import {failureOf} from './failure.js';
import {generatePair} from './generate_pair.js';
import {measure} from './measure.js';
import {planSize} from './plan_size.js';
import type {Answered, Asked, ModelFacts, Reply, Request, Task} from './protocol.js';

/** Characters of the held-out text that the page offers to measure. */
const sampleCharacters = 1500;

/** A model in memory, and the one task that runs on it. Errors become replies. */
export class Engine {
  private loaded: LoadedModel | undefined;
  private stopRunning = new AbortController();
  private running: Promise<void> = Promise.resolve();

  /** @param readText gives the held-out text that comes with the package. */
  constructor(
    private readonly post: (answer: Answered) => void,
    private readonly readText = () => embeddedText('heldOut'),
  ) {}

  take({id, ...request}: Asked): void {
    const send = (reply: Reply) => this.post({id, ...reply});
    switch (request.kind) {
      case 'load':
        this.run('load', send, () => this.load(request, send));
        return;
      case 'size':
        send(planSize(this.model(), request.bands, request.prompt, request.tokens));
        return;
      case 'generate':
        this.run('generate', send, signal =>
          generatePair(this.model(), request, generation => send({kind: 'written', generation}), signal),
        );
        return;
      case 'measure':
        this.run('measure', send, async signal => {
          const onProgress = (done: number, total: number) =>
            send({kind: 'progress', task: 'measure', done, total});
          const options = {prose: await this.readText(), onProgress, signal};
          const measurement = await measure(this.model(), request.bands, request.text, options);
          send({kind: 'measured', measurement});
        });
        return;
      case 'stop':
        this.stopRunning.abort();
    }
  }

  /** Ends what runs, waits for its end, and begins. */
  private run(task: Task, send: (reply: Reply) => void, work: (signal: AbortSignal) => Promise<void>): void {
    this.stopRunning.abort();
    const {signal} = (this.stopRunning = new AbortController());
    const former = this.running;
    this.running = former.then(async () => {
      try {
        signal.throwIfAborted();
        await work(signal);
        send({kind: 'ended', task});
      } catch (error) {
        send(signal.aborted ? {kind: 'ended', task} : {kind: 'failed', task, failure: failureOf(error)});
      }
    });
  }

  private async load(
    {backend: wanted, file}: Extract<Request, {kind: 'load'}>,
    send: (reply: Reply) => void,
  ): Promise<void> {
    const started = await startBackend(wanted);
    this.loaded = await loadModel(file, {
      onProgress: ({done, total}) => send({kind: 'progress', task: 'load', done, total}),
    });
    const {model, config, name} = this.loaded;
    const facts: ModelFacts = {
      name,
      parameters: model.countParams(),
      depths: config.depths,
      kvHeads: config.kvHeads,
      headDim: config.headDim,
      contextLength: config.contextLength,
      ...started,
      threads: threadCount(),
      sampleText: (await this.readText()).slice(0, sampleCharacters),
    };
    send({kind: 'loaded', model: facts});
  }

  private model(): LoadedModel {
    if (this.loaded === undefined) throw new InvalidArgumentError('No model is loaded yet.');
    return this.loaded;
  }
}
