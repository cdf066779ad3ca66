import {EigenkvError} from '../../base/errors.js';
import {chat} from '../../models/chat/chat.js';
import type {ChatMessage} from '../../models/chat/messages.js';
import type {LoadedModel} from '../../models/loaded_model.js';
import {planLabel} from '../evaluate/index.js';
import {flag, text, wholeNumber, withDefault} from './support/arguments.js';
import {runLine} from './support/chat_commands.js';
import {ChatSession} from './support/chat_session.js';
import {command} from './support/command.js';
import {readText} from './support/files.js';
import {interruptSignal, releaseInterrupt} from './support/interrupt.js';
import {Lines} from './support/lines.js';
import {loadForCommand, modelArgs, profileArg} from './support/load.js';
import {planArg, readPlan} from './support/plans.js';
import {printNote} from './support/print.js';
import {samplingArgs, samplingOf} from './support/sampling.js';
import {UsageError} from './support/usage_error.js';

export const chatCommand = command({
  name: 'chat',
  description:
    'Talk with a model through a compressed cache, which is kept from turn to turn; /help lists what can be typed besides messages',
  args: {
    ...modelArgs,
    profile: profileArg,
    plan: withDefault(planArg(), 'full'),
    system: text('What the system message says. Default: none, or what the chat template has'),
    template: text("A Jinja chat template in place of the model's own", 'FILE'),
    load: text('Continue the chat that /save wrote into this file', 'FILE'),
    tokens: wholeNumber('The most tokens of an answer. Default: 1024, or as many as fit into the context'),
    beyondContext: flag('Let the conversation go beyond the context; meant for plans that evict'),
    ...samplingArgs,
  },
  examples: [
    'eigenkv chat --model SmolLM2-135M-Instruct.Q4_1.gguf --plan quantized:bits=4',
    'eigenkv chat --model SmolLM2-135M-Instruct.Q4_1.gguf --system "Answer in one sentence." --temperature 0.7 --min-p 0.1',
    'eigenkv chat --model SmolLM2-135M-Instruct.Q4_1.gguf --json < questions.txt',
  ],
  async run({system, template, load, tokens, beyondContext, json, ...args}) {
    const plan = await readPlan(args.plan);
    const chatTemplate = template === undefined ? undefined : await readText(template);
    const signal = interruptSignal();
    const loaded = await loadForCommand(args, signal);
    try {
      const model = withTemplate(loaded, chatTemplate);
      const options = {tokens, ...samplingOf(args)};
      const messages: ChatMessage[] = system === undefined ? [] : [{role: 'system', content: system}];
      const talk = chat(model, {...options, plan, beyondContext, messages});
      const session = new ChatSession(model, talk, planLabel(plan), options, json);
      try {
        if (load !== undefined) await session.load(load);
        signal.throwIfAborted();
        releaseInterrupt();
        await converse(session);
      } finally {
        session.dispose();
      }
    } finally {
      loaded.dispose();
    }
  },
});

function withTemplate(loaded: LoadedModel, given: string | undefined): LoadedModel {
  const chatTemplate = given ?? loaded.chatTemplate;
  if (chatTemplate !== undefined) return {...loaded, chatTemplate};
  throw new UsageError(
    `${loaded.name} has no chat template, so it was not made for conversations. Give a model that has one, or --template FILE.`,
  );
}

/**
 * Reads lines until the input ends or ctrl-C is pressed where nothing is answered. On a terminal, an error is shown and the conversation goes on;
 * elsewhere it ends the command.
 */
async function converse(session: ChatSession): Promise<void> {
  const leaving = new AbortController();
  const lines = new Lines(() => {
    const isAnswering = session.stop();
    if (!isAnswering || !lines.isTyped) lines.close();
    if (!isAnswering) leaving.abort();
  });
  if (lines.isTyped) printNote('/help lists the commands; ctrl-D leaves.');
  try {
    for (;;) {
      const line = await lines.next('> ');
      leaving.signal.throwIfAborted();
      if (line === undefined) return;
      try {
        if (!(await runLine(session, line))) return;
      } catch (error) {
        if (!lines.isTyped || !isSaid(error)) throw error;
        printNote(isAbort(error) ? 'Stopped.' : error.message);
      }
    }
  } finally {
    lines.close();
  }
}

const isAbort = (error: unknown): boolean => error instanceof Error && error.name === 'AbortError';

/** Whether an error is for the reader, rather than a fault of this program. */
const isSaid = (error: unknown): error is Error => error instanceof EigenkvError || isAbort(error);
