import {seededRandom} from '../../../../base/random.js';
import {passwordsInProse} from '../material/passwords.js';
import type {Task, TaskQuestion} from '../task.js';

/** The questions of `multiKey`, each after another one and its answer: what a keeper kept for the first may not be what the second needs. */
export const secondQuestion: Task = {
  name: 'secondQuestion',
  description: 'multiKey, with another question and its answer before each',
  sample: setting => {
    const {context, questions} = passwordsInProse('secondQuestion', setting, seededRandom(setting.seed));
    const answered = ({question, answerPrefix, answers: [answer = '']}: TaskQuestion) =>
      `${question}${answerPrefix}${answer}.`;
    const half = questions.length / 2; // far from each other in the context
    const earlier = (i: number) => answered(questions[(i + half) % questions.length]!);
    return {
      context,
      questions: questions.map((question, i) => ({
        ...question,
        earlier: earlier(i),
        candidates: question.candidates!.filter(candidate => !earlier(i).includes(candidate)),
      })),
    };
  },
};
