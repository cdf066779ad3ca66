import {type Interface, createInterface} from 'node:readline';

/** Lines that a person types on a terminal, or that come through a pipe. */
export class Lines {
  /** Whether somebody types them. */
  readonly isTyped = process.stdin.isTTY && process.stderr.isTTY;
  private readonly reader: Interface;
  private readonly queue: string[] = [];
  private waiting: ((line: string | undefined) => void) | undefined;
  private hasEnded = false;

  /** @param onInterrupt called at ctrl-C. */
  constructor(private readonly onInterrupt: () => void) {
    this.reader = createInterface({
      input: process.stdin,
      output: this.isTyped ? process.stderr : undefined, // stdout has the answers only
      terminal: this.isTyped,
      historySize: 1000,
    });
    this.reader.on('line', line => this.take(line));
    this.reader.on('close', () => this.take(undefined));
    this.reader.on('SIGINT', onInterrupt); // on a terminal, which sends no signal while lines are edited
    process.on('SIGINT', onInterrupt);
  }

  /**
   * The next line, without its end; undefined at the end of the input. A line that ends with a backslash goes on with the next one.
   * @param prompt shown if somebody types.
   */
  async next(prompt: string): Promise<string | undefined> {
    const line = await this.nextLine(prompt);
    if (line?.endsWith('\\') !== true) return line;
    return `${line.slice(0, -1)}\n${(await this.next('... ')) ?? ''}`;
  }

  close(): void {
    process.off('SIGINT', this.onInterrupt);
    this.reader.close();
  }

  private nextLine(prompt: string): Promise<string | undefined> {
    const line = this.queue.shift();
    if (line !== undefined || this.hasEnded) return Promise.resolve(line);
    if (this.isTyped) {
      this.reader.setPrompt(prompt);
      this.reader.prompt();
    }
    return new Promise(resolve => {
      this.waiting = resolve;
    });
  }

  private take(line: string | undefined): void {
    const {waiting} = this;
    this.waiting = undefined;
    this.hasEnded ||= line === undefined;
    if (waiting !== undefined) waiting(line);
    else if (line !== undefined) this.queue.push(line);
  }
}
