import {writeFileAtomically} from '../../../base/files/disk.js';
import {byteSize, comparedWith, count, counted, fixed, short, timesSmaller} from '../../../base/units.js';
import {perDepth} from '../../../cache/plans/index.js';
import {Chat, type ChatTurn} from '../../../models/chat/chat.js';
import type {AnswerOptions} from '../../../models/chat/options.js';
import type {TextModel} from '../../../models/loaded_model.js';
import {float32BytesOf} from '../../evaluate/cache_bytes.js';
import {planLabel} from '../../evaluate/index.js';
import {type NamedColumns, columnsOf, tableText} from '../../report/table.js';
import {printable} from '../../report/terminal.js';
import {readBytes} from './files.js';
import {readPlan} from './plans.js';
import {print, printNote} from './print.js';
import {UsageError} from './usage_error.js';

/** What an answer took, with the bytes of all keys and values as float32. */
export interface AnsweredTurn extends ChatTurn {
  readonly float32Bytes: number;
  /** cacheBytes / float32Bytes. */
  readonly ratioToFloat32: number;
}

/** A conversation on the command line: what its commands do, and how they show it. Each line of JSON is one object. */
export class ChatSession {
  private readonly turns: AnsweredTurn[] = [];
  private aborting: AbortController | undefined;

  /**
   * @param talk the session's from now on.
   * @param label the plan as the user wrote it; undefined if it is that of a saved chat.
   * @param options those of every answer, for chats that are loaded.
   */
  constructor(
    private readonly model: TextModel,
    private talk: Chat,
    private label: string | undefined,
    private readonly options: AnswerOptions,
    private readonly json: boolean,
  ) {}

  /** Stops the answer that is being given; false if there is none. */
  stop(): boolean {
    this.aborting?.abort();
    return this.aborting !== undefined;
  }

  async send(text: string): Promise<void> {
    await this.show(signal => this.talk.send(text, {signal}));
  }

  async retry(): Promise<void> {
    await this.show(signal => this.talk.answer({signal}));
  }

  /** @param question its number, from 1; the last one if none is given. */
  async edit(question: number | undefined, text: string): Promise<void> {
    const asked = [...this.talk.messages.entries()].filter(([, {role}]) => role === 'user');
    const [index] = asked.at(question === undefined ? -1 : question - 1) ?? [];
    if (index === undefined || question === 0) {
      throw new UsageError(
        asked.length === 0
          ? 'Nothing was asked yet; there is nothing to edit.'
          : `There is no question ${question ?? 0}; there are the questions 1 to ${asked.length}.`,
      );
    }
    await this.show(signal => this.talk.edit(index, text, {signal}));
  }

  /** Forgets all but what the system message says. What the next conversation has in common with this one stays in the cache. */
  restart(): void {
    this.talk.messages = this.talk.messages.filter(({role}, i) => i === 0 && role === 'system');
    if (this.json) this.printLine({messages: this.talk.messages});
    else printNote('A new conversation.');
  }

  /** Shows the plan, after changing it if one is given. */
  async plan(given: string | undefined): Promise<void> {
    const {cache} = this.talk;
    const before = cache.byteSize;
    if (given !== undefined) {
      const plan = await readPlan(given);
      await cache.setPlan(plan);
      this.label = planLabel(plan);
    }
    const {tokens, byteSize: cacheBytes} = cache;
    const plan = this.label ?? labelOf(this.talk);
    if (this.json) {
      this.printLine({plan, cacheTokens: tokens, cacheBytes});
      return;
    }
    const size = `${counted(tokens, 'token')}, ${byteSize(cacheBytes)}`;
    print(`${plan}: ${size}${given === undefined ? '' : `; before: ${byteSize(before)}`}`);
  }

  stats(): void {
    if (this.json) this.printLine({turns: this.turns});
    else if (this.turns.length === 0) print('Nothing was answered yet.');
    else print(turnTable(this.turns));
  }

  async save(path: string): Promise<void> {
    const bytes = await this.talk.save();
    await writeFileAtomically(path, [bytes]);
    if (this.json) this.printLine({saved: path, bytes: bytes.length});
    else printNote(`Wrote ${path}, ${byteSize(bytes.length)}.`);
  }

  async load(path: string): Promise<void> {
    const talk = await Chat.restore(await readBytes(path), this.model, this.options);
    this.talk.dispose();
    this.talk = talk;
    this.label = undefined;
    const {messages, cache} = talk;
    if (this.json) this.printLine({loaded: path, messages});
    else printNote(`${counted(messages.length, 'message')}, ${counted(cache.tokens, 'token')} in the cache.`);
  }

  dispose(): void {
    this.talk.dispose();
  }

  /** Prints an answer as it is given, and what it took. */
  private async show(answer: (signal: AbortSignal) => AsyncIterable<string>): Promise<void> {
    const {signal} = (this.aborting = new AbortController());
    const before = this.talk.turns.length;
    let text = '';
    try {
      for await (const piece of answer(signal)) {
        text += piece;
        if (!this.json) process.stdout.write(printable(piece));
      }
    } finally {
      this.aborting = undefined;
      if (!this.json && text !== '') print('');
      const turn = this.talk.turns[before];
      if (turn !== undefined) this.note(text, turn);
    }
  }

  private note(answer: string, turn: ChatTurn): void {
    const float32Bytes = float32BytesOf(this.talk.cache);
    const answered = {...turn, float32Bytes, ratioToFloat32: turn.cacheBytes / float32Bytes};
    this.turns.push(answered);
    if (this.json) this.printLine({answer, ...answered});
    else printNote(lineOf(answered));
  }

  private printLine(value: object): void {
    print(JSON.stringify(value));
  }
}

function labelOf({cache}: Chat): string {
  return planLabel(perDepth(cache.report().map(({depth}) => cache.policy(depth)!)));
}

/** "60 tokens, 17 tokens/s; prompt: 14 of 110 tokens computed; cache of 170 tokens: 2.77 MiB, 3.5x smaller than float32" */
function lineOf(turn: AnsweredTurn): string {
  const {generatedTokens, promptTokens, computedTokens, cacheTokens, cacheBytes, float32Bytes, restarted} =
    turn;
  return [
    `${counted(generatedTokens, 'token')}, ${speedOf(turn)} tokens/s`,
    `prompt: ${count(computedTokens)} of ${counted(promptTokens, 'token')} computed`,
    `cache of ${counted(cacheTokens, 'token')}: ${byteSize(cacheBytes)}, ${comparedWith(float32Bytes / cacheBytes, 'float32')}`,
    ...(restarted === undefined ? [] : [`computed anew: ${restarted}`]),
  ].join('; ');
}

/** From the first token on, whose own time is that of the prompt. */
function speedOf({generatedTokens, promptSeconds, answerSeconds}: ChatTurn): string {
  return short(generatedTokens > 1 ? (generatedTokens - 1) / answerSeconds : generatedTokens / promptSeconds);
}

const columnNames = [
  'turn',
  'prompt',
  'computed',
  'wait',
  'generated',
  'speed',
  'cache',
  'size',
  'float32',
] as const;

function turnTable(turns: readonly AnsweredTurn[]): string {
  const rows = turns.map((turn, i) => ({...turn, number: i + 1}));
  const columns: NamedColumns<(typeof columnNames)[number], (typeof rows)[number]> = {
    turn: {head: 'turn', cell: ({number}) => count(number)},
    prompt: {head: 'prompt tokens', cell: ({promptTokens}) => count(promptTokens)},
    computed: {head: 'computed', cell: ({computedTokens}) => count(computedTokens)},
    wait: {head: 'seconds to first token', cell: ({promptSeconds}) => fixed(promptSeconds, 2)},
    generated: {head: 'generated tokens', cell: ({generatedTokens}) => count(generatedTokens)},
    speed: {head: 'tokens/s', cell: speedOf},
    cache: {head: 'cache tokens', cell: ({cacheTokens}) => count(cacheTokens)},
    size: {head: 'cache size', cell: ({cacheBytes}) => byteSize(cacheBytes)},
    float32: {
      head: 'than float32',
      cell: ({float32Bytes, cacheBytes}) => timesSmaller(float32Bytes / cacheBytes),
    },
  };
  return tableText(columnsOf(columnNames, columns), rows, {elsewhere: '--json has all'});
}
