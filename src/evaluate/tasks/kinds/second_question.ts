import {seededRandom} from '../../../../base/random.js';
import {passwordSample} from '../material/password_sample.js';
import type {Task, TaskQuestion} from '../task.js';

/** The questions of `multiKey`, each after another one and its answer: what a keeper kept for the first may not be what the second needs. */
export const secondQuestion: Task = {
  name: 'secondQuestion',
  description: 'the questions of multiKey, each after another one and its answer',
  sample: setting => {
    const {context, questions} = passwordSample('secondQuestion', setting, seededRandom(setting.seed));
    const half = questions.length / 2; // far from each other in the context
    return {
      context,
      questions: questions.map((question, i) => {
        const earlier = answered(questions[(i + half) % questions.length]!);
        const candidates = question.candidates!.filter(candidate => !earlier.includes(candidate));
        return {...question, earlier, candidates};
      }),
    };
  },
};

function answered({question, answerPrefix, answers: [answer = '']}: TaskQuestion): string {
  return `${question}${answerPrefix}${answer}.`;
}
