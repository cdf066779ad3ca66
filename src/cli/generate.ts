import {KVCache} from '../../cache/kv_cache.js';
import {type GenerateOptions, generate} from '../../models/index.js';
import {policyLabel} from '../evaluate/index.js';
import {everyValue, given, positiveNumber, share, wholeNumber} from './support/arguments.js';
import {GenerationRun} from './support/generation_run.js';
import {command, commonArgs, jsonArg} from './support/command.js';
import {interruptSignal} from './support/interrupt.js';
import {loadForCommand, modelArgs} from './support/load.js';
import {planArgs, readPlan} from './support/plans.js';
import {printJson, printNote} from './support/print.js';
import {streamText} from './support/stream_text.js';

export const generateCommand = command(
  {
    meta: {name: 'generate', description: 'Continue a prompt through a compressed cache; ctrl-C ends it'},
    args: {
      prompt: {type: 'positional', required: true, description: 'The text to continue'},
      ...modelArgs,
      ...planArgs,
      tokens: {type: 'string', description: 'At most so many new tokens. Default: 256', valueHint: 'N'},
      temperature: {
        type: 'string',
        description: 'Above 0, tokens are drawn; 0 takes the most probable',
        default: '0',
        valueHint: 'X',
      },
      'top-k': {type: 'string', description: 'Draw among the so many most probable', valueHint: 'N'},
      'top-p': {
        type: 'string',
        description: 'Draw among those with this probability together',
        valueHint: 'X',
      },
      seed: {type: 'string', description: 'The same seed draws the same text', valueHint: 'N'},
      stop: {type: 'string', description: 'End before this text; may be repeated', valueHint: 'TEXT'},
      ...jsonArg,
      ...commonArgs,
    },
    async run({args, rawArgs}) {
      const plan = await readPlan(args, 'full');
      const sampling = given({
        tokens: wholeNumber(args.tokens, 'tokens'),
        temperature: positiveNumber(args.temperature, 'temperature'),
        topK: wholeNumber(args['top-k'], 'top-k'),
        topP: share(args['top-p'], 'top-p'),
        seed: wholeNumber(args.seed, 'seed', 0),
      });
      const signal = interruptSignal();
      const loaded = await loadForCommand(args, signal);
      const promptTokens = loaded.tokenizer.encode(args.prompt).length || 1;
      const expectedTokens = Math.min(promptTokens + (sampling.tokens ?? 256), loaded.contextLength);
      const cache = new KVCache(loaded.model, plan, {expectedTokens});
      const options: GenerateOptions = {
        ...sampling,
        stop: everyValue(rawArgs, 'stop'),
        cache,
        signal,
      };
      const run = new GenerationRun(cache, promptTokens);
      try {
        const text = await streamText(run.watch(generate(loaded, args.prompt, options)), {
          prompt: process.stdout.isTTY ? args.prompt : '',
          shows: !args.json,
        });
        if (args.json) {
          const about = {model: loaded.name, policy: policyLabel(plan), prompt: args.prompt, text};
          printJson({...about, ...run.summary()});
        }
      } finally {
        if (!args.json && run.hasStarted) printNote(run.summaryLine());
        cache.dispose();
        loaded.dispose();
      }
    },
  },
  [
    'eigenkv generate "It was a fine morning" --temperature 0.8 --seed 1',
    'eigenkv generate "Once upon a time" --policy quantized:bits=8 --tokens 100',
    'eigenkv generate "Q: 2 + 2? A:" --model SmolLM2-135M.gguf --stop "Q:"',
  ],
);
