import {didYouMean} from '../../../base/errors.js';
import {outputWidth} from '../../report/terminal.js';
import type {ChatSession} from './chat_session.js';
import {print} from './print.js';
import {entries} from './usage.js';
import {UsageError} from './usage_error.js';

interface ChatCommand {
  /** What follows its name, in help. */
  readonly hint: string;
  readonly summary: string;
  readonly run: (session: ChatSession, rest: string) => void | Promise<void>;
}

/** What can be typed instead of a message. */
const commands: Readonly<Record<string, ChatCommand>> = {
  plan: {
    hint: '[PLAN]',
    summary: 'Show the plan and the size of the cache; store what it holds by another plan',
    run: (session, rest) => session.plan(rest === '' ? undefined : rest),
  },
  stats: {
    hint: '',
    summary: 'Show what each answer took',
    run: session => session.stats(),
  },
  edit: {
    hint: '[N] TEXT',
    summary: 'Ask question N, or the last one, otherwise; what followed it is forgotten',
    run(session, rest) {
      const [, number, text] = /^(?:(\d+)\s+)?([^]*)$/.exec(rest) ?? [];
      return session.edit(number === undefined ? undefined : Number(number), needed('edit', text));
    },
  },
  retry: {
    hint: '',
    summary: 'Answer the last question anew',
    run: session => session.retry(),
  },
  new: {
    hint: '',
    summary: 'Begin a new conversation, with the same system message',
    run: session => session.restart(),
  },
  save: {
    hint: 'FILE',
    summary: 'Write messages and cache into a file',
    run: (session, rest) => session.save(needed('save', rest)),
  },
  load: {
    hint: 'FILE',
    summary: 'Continue the chat of a file',
    run: (session, rest) => session.load(needed('load', rest)),
  },
  help: {hint: '', summary: 'Show this', run: () => print(help())},
  quit: {hint: '', summary: 'Leave, as ctrl-D does', run: () => undefined},
};

function needed(name: string, rest: string | undefined): string {
  if (rest !== undefined && rest !== '') return rest;
  throw new UsageError(`/${name} needs more: /${name} ${commands[name]!.hint}.`);
}

function help(): string {
  const terms = Object.entries(commands).map(
    ([name, {hint, summary}]) => [`/${name} ${hint}`.trimEnd(), summary] as const,
  );
  const more = [
    ['//TEXT', 'Send a message that begins with a slash'],
    ['TEXT\\', 'Go on in the next line'],
    ['ctrl-C', 'Stop the answer, and keep what was said; leave, where there is none'],
  ] as const;
  return entries([...terms, ...more], outputWidth()).join('\n');
}

/**
 * Does what a line asks for: sends a message, or runs a command.
 *
 * @returns whether the session goes on.
 * @throws UsageError for a command that is none, whatever the command throws.
 */
export async function runLine(session: ChatSession, line: string): Promise<boolean> {
  const said = line.trim();
  if (said === '') return true;
  if (!said.startsWith('/') || said.startsWith('//')) {
    await session.send(said.replace(/^\/\//, '/'));
    return true;
  }
  const [, name = '', rest = ''] = /^\/(\S*)\s*([^]*)$/.exec(said) ?? [];
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command === undefined) {
    const names = Object.keys(commands);
    throw new UsageError(
      `There is no command /${name}; there are ${names.map(one => `/${one}`).join(', ')}.${didYouMean(name, names)} ` +
        `A message that begins with a slash: //${name}.`,
    );
  }
  await command.run(session, rest);
  return name !== 'quit';
}
