import {EngineClient} from './engine_client.js';
import type {BrowserBackend, Reply} from './engine/protocol.js';
import {type Band, fitBands} from './state/bands.js';
import type {PageState} from './state/page_state.js';
import {type Settings, defaults} from './state/settings.js';
import {readHash, writeHash} from './state/url_hash.js';

/** Milliseconds without another change, until everything runs again and the address is rewritten. */
const settling = 350;

/** What the page can do, and the state that it shows. Components call it; it tells them of each change. */
export class Playground {
  private current: PageState;
  private readonly engine = new EngineClient(reply => this.receive(reply));
  private readonly listeners = new Set<() => void>();
  private settled: ReturnType<typeof setTimeout> | undefined;
  /** The plan was written by someone else: if the model refuses it, it is dropped. */
  private planIsOfLink: boolean;
  private measuresNext = false;
  /** What is being loaded: the page's file as soon as it is there. */
  private pendingFile: File | undefined;
  /** The bands of the task that runs. */
  private sent: readonly Band[] = [];

  constructor() {
    const {settings, notes} = readHash(location.hash);
    this.current = {settings, notes, text: ''};
    this.planIsOfLink = true;
    addEventListener('hashchange', () => this.follow(location.hash));
    this.load(settings.backend);
  }

  get state(): PageState {
    return this.current;
  }

  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => {
      this.listeners.delete(listener);
    };
  }

  /**
   * Loads a model anew; a backend cannot take over what is in another one's memory.
   * @param given null is the embedded model. Default: the model that is there.
   */
  load(backend: BrowserBackend, given: File | null = this.current.file ?? null): void {
    const file = given ?? undefined;
    this.stop();
    this.update({running: {task: 'load', done: 0, total: 0}, failure: undefined});
    this.pendingFile = file;
    this.engine.load(backend, file);
    this.change({backend}, {runs: false});
  }
  /** Changes settings. If `live` is on, what depends on them runs again. */
  change(settings: Partial<Settings>, {runs = true}: {runs?: boolean} = {}): void {
    this.update({settings: {...this.current.settings, ...settings}});
    this.askForSize();
    clearTimeout(this.settled);
    this.settled = setTimeout(() => {
      history.replaceState(null, '', `#${writeHash(this.current.settings)}`);
      if (runs && this.current.settings.live) this.run();
    }, settling);
  }

  changeBands(bands: readonly Band[]): void {
    this.planIsOfLink = false;
    this.change({bands});
  }

  changeText(text: string): void {
    this.update({text});
  }

  /** Generates, then measures: after a change. */
  private run(): void {
    this.generate();
    this.measuresNext = this.current.running?.task === 'generate';
  }

  generate(): void {
    const {bands, prompt, tokens, temperature, seed} = this.current.settings;
    this.start('generate', () => {
      this.engine.send({kind: 'generate', bands, prompt, tokens, temperature, seed});
    });
  }

  measure(): void {
    const {bands} = this.current.settings;
    this.start('measure', () => {
      this.engine.send({kind: 'measure', bands, text: this.current.text});
    });
  }

  stop(): void {
    this.measuresNext = false;
    this.engine.send({kind: 'stop'});
  }

  forgetNotes(): void {
    this.update({notes: [], failure: undefined});
  }

  private start(task: 'generate' | 'measure', send: () => void): void {
    const {model, running, refused, settings} = this.current;
    if (model === undefined || running?.task === 'load' || refused !== undefined) return;
    this.measuresNext = false;
    this.sent = settings.bands;
    this.update({running: {task, done: 0, total: 0}, failure: undefined});
    send();
  }

  /** Another link in the same tab. */
  private follow(hash: string): void {
    const {settings, notes} = readHash(hash);
    this.planIsOfLink = true;
    this.update({notes});
    const depths = this.current.model?.depths;
    const bands = depths === undefined ? settings.bands : fitBands(settings.bands, depths);
    const isOtherBackend = settings.backend !== this.current.settings.backend;
    this.change({...settings, bands});
    if (isOtherBackend) this.load(settings.backend);
  }

  private askForSize(): void {
    const {model, settings, running} = this.current;
    if (model === undefined || running?.task === 'load') return;
    const {bands, prompt, tokens} = settings;
    this.engine.send({kind: 'size', bands, prompt, tokens});
  }

  private receive(reply: Reply): void {
    const bands = this.sent;
    switch (reply.kind) {
      case 'loaded':
        return this.welcome(reply.model);
      case 'progress':
        return this.update({running: reply});
      case 'sized':
        return this.update({size: reply.size, refused: undefined});
      case 'refused':
        return this.refuse(reply);
      case 'written':
        return this.update({generation: {...reply.generation, bands}});
      case 'measured':
        return this.update({measurement: {...reply.measurement, bands}});
      case 'ended':
        return this.finish(reply.task);
      case 'failed':
        return this.fail(reply);
    }
  }

  private welcome(model: NonNullable<PageState['model']>): void {
    const {settings, text, notes} = this.current;
    const isOfSample = text === '' || text === this.current.model?.sampleText;
    this.update({
      model,
      file: this.pendingFile,
      running: undefined,
      text: isOfSample ? model.sampleText : text,
      notes:
        model.fallback === undefined ? notes : [...notes, `${model.backend} runs instead. ${model.fallback}`],
      generation: undefined,
      measurement: undefined,
    });
    this.change({bands: fitBands(settings.bands, model.depths), backend: model.backend});
  }

  private refuse({band, failure}: Extract<Reply, {kind: 'refused'}>): void {
    const {model, notes} = this.current;
    if (!this.planIsOfLink || model === undefined) return this.update({refused: {band, failure}});
    this.planIsOfLink = false;
    this.update({notes: [...notes, `The link's plan is ignored: ${failure.message}`]});
    this.change({bands: fitBands(defaults.bands, model.depths)});
  }

  private finish(task: 'load' | 'generate' | 'measure'): void {
    if (task === 'load') return;
    this.update({running: undefined});
    if (task === 'generate' && this.measuresNext) this.measure();
  }

  private fail({failure}: Extract<Reply, {kind: 'failed'}>): void {
    const {running, refused} = this.current;
    const wasLoading = running?.task === 'load';
    this.measuresNext = false;
    const isAtBand = refused?.failure.message === failure.message; // what started before the refusal came fails by it, too
    this.update({running: undefined, failure: isAtBand ? undefined : failure});
    if (wasLoading || !failure.outOfMemory) return;
    this.change({live: false}); // or it would end the same way again
    this.load(this.current.settings.backend);
    this.update({failure});
  }

  private update(change: Partial<PageState>): void {
    this.current = {...this.current, ...change};
    for (const listener of this.listeners) listener();
  }
}
