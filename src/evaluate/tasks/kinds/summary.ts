import {seededRandom} from '../../../../base/random.js';
import {expectRoom} from '../material/prose.js';
import {drawn, shuffled, tokensIn} from '../material/words.js';
import type {Task} from '../task.js';

/** Things that belong to a topic, none of them to two. */
const topics: Readonly<Record<string, readonly string[]>> = {
  sailing: 'ship sail harbour anchor deck crew mast rope compass wave'.split(' '),
  cooking: 'kitchen pan butter oven flour knife recipe soup spoon sugar'.split(' '),
  music: 'violin song concert piano drum singer melody choir orchestra flute'.split(' '),
  medicine: 'doctor nurse patient hospital fever pill surgeon wound clinic bandage'.split(' '),
  farming: 'farm cow plough wheat barn harvest pig tractor goat hay'.split(' '),
  school: 'teacher pupil lesson exam homework chalk student essay blackboard classroom'.split(' '),
  war: 'soldier army battle rifle tank trench enemy bomb fort cannon'.split(' '),
  painting: 'brush canvas easel portrait palette sketch gallery pigment fresco mural'.split(' '),
};

const templates: readonly ((a: string, b: string) => string)[] = [
  (a, b) => `The ${a} was near the ${b}.`,
  (a, b) => `Everybody talked about the ${a} and the ${b}.`,
  (a, b) => `In the morning we saw a ${a} and a ${b}.`,
  (a, b) => `Without the ${a} there is no ${b}.`,
  (a, b) => `She remembered the ${a}, and he thought of the ${b}.`,
  (a, b) => `First came the ${a}, then the ${b}.`,
];

/** What many sentences say together: any part of the context tells it. */
export const summary: Task = {
  name: 'summary',
  description: 'the topic of many sentences',
  sample: ({seed, tokens, tokenizer}) => {
    const random = seededRandom(seed);
    const [topic, things] = drawn(Object.entries(topics), random);
    const sentences: string[] = [];
    for (let left = tokens - 2; ;) {
      const [a = '', b = ''] = shuffled(things, random);
      const sentence = drawn(templates, random)(a, b);
      const needed = tokensIn(tokenizer, ` ${sentence}`);
      expectRoom('summary', tokens, sentences.length === 0 ? 4 * needed : 0);
      if (needed > left) break;
      sentences.push(sentence);
      left -= needed;
    }
    return {
      context: sentences.join(' '),
      questions: [
        {
          question: '\n\nQuestion: What is this text about?\n',
          answerPrefix: 'Answer: This text is about',
          answers: [` ${topic}`],
          candidates: Object.keys(topics).map(other => ` ${other}`),
        },
      ],
    };
  },
};
