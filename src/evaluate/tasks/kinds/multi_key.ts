import {seededRandom} from '../../../../base/random.js';
import {passwordsInProse} from '../material/passwords.js';
import type {Task} from '../task.js';

export const multiKey: Task = {
  name: 'multiKey',
  description: 'eight passwords in prose, each asked for',
  sample: setting => passwordsInProse('multiKey', setting, seededRandom(setting.seed)),
};
