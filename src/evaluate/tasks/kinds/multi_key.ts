import {seededRandom} from '../../../../base/random.js';
import {passwordSample} from '../material/password_sample.js';
import type {Task} from '../task.js';

export const multiKey: Task = {
  name: 'multiKey',
  description: 'eight passwords in prose, each asked for',
  sample: setting => passwordSample('multiKey', setting, seededRandom(setting.seed)),
};
