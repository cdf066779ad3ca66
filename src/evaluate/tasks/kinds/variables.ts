import {seededRandom} from '../../../../base/random.js';
import {assignments} from '../material/facts.js';
import {woven} from '../material/prose.js';
import type {Task} from '../task.js';

export const variables: Task = {
  name: 'variables',
  description: 'four numbers in prose, each assigned to a variable and passed on to another',
  sample: setting => {
    const random = seededRandom(setting.seed);
    const {inserts, questions} = assignments(random);
    return {context: woven({task: 'variables', inserts}, setting, random).context, questions};
  },
};
