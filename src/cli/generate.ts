import {required, wholeNumber, withDefault, word} from './support/arguments.js';
import {command} from './support/command.js';
import {runGeneration} from './support/generation.js';
import {interruptSignal} from './support/interrupt.js';
import {loadForCommand, modelArgs, profileArg} from './support/load.js';
import {planArg, readPlan} from './support/plans.js';
import {printJson} from './support/print.js';
import {samplingArgs, samplingOf} from './support/sampling.js';

export const generateCommand = command({
  name: 'generate',
  description: 'Continue a prompt through a compressed cache; ctrl-C ends it',
  args: {
    prompt: required(word('The text to continue')),
    ...modelArgs,
    profile: profileArg,
    plan: withDefault(planArg(), 'full'),
    tokens: wholeNumber(
      'Generate at most this many tokens. Default: 256, or as many as fit into the context',
    ),
    ...samplingArgs,
    logprobs: wholeNumber('With --json: tell how probable each token was, and this many others', 0),
  },
  examples: [
    'eigenkv generate "It was a fine morning" --temperature 0.8 --seed 1',
    'eigenkv generate "Once upon a time" --plan quantized:bits=8 --tokens 100',
    'eigenkv generate "Q: 2 + 2? A:" --model SmolLM2-135M.gguf --stop "Q:"',
  ],
  async run({prompt, tokens, logprobs, json, ...args}) {
    const plan = await readPlan(args.plan);
    const signal = interruptSignal();
    const loaded = await loadForCommand(args, signal);
    try {
      const generation = await runGeneration(loaded, prompt, {
        ...{plan, tokens, signal, logprobs, ...samplingOf(args)},
        shows: !json,
        echoes: process.stdout.isTTY,
      });
      if (json) printJson({model: loaded.name, ...generation});
    } finally {
      loaded.dispose();
    }
  },
});
