import {decoderAfter} from '../generate/text_of_ids.js';
import type {Tokenizer} from '../tokenizer/index.js';

/** The ids of an answer while it is generated, and how the template would spell them. */
export class AnswerRecord {
  readonly ids: number[] = [];
  /** The time of the first id, in ms as `performance.now`. */
  firstAt: number | undefined;
  private spelled = '';
  private readonly spelling: ReturnType<typeof decoderAfter>;

  constructor(tokenizer: Tokenizer, prompt: readonly number[]) {
    this.spelling = decoderAfter(tokenizer, prompt, {skipSpecial: false});
  }

  /** Passes ids on. */
  async *watch(ids: AsyncIterable<number>): AsyncGenerator<number, void, undefined> {
    for await (const id of ids) {
      this.firstAt ??= performance.now();
      this.ids.push(id);
      this.spelled += this.spelling.push(id);
      yield id;
    }
  }

  /** The text of all ids, special tokens written out; undefined if it ends within a character. */
  text(): string | undefined {
    const rest = this.spelling.flush();
    return rest === '' ? this.spelled : undefined;
  }
}
