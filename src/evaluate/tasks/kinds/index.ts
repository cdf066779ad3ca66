/** Tasks. A task is one file in this folder and one line in this list. */
export {copy} from './copy.js';
export {instructions} from './instructions.js';
export {kv} from './kv.js';
export {mixed} from './mixed.js';
export {multiKey} from './multi_key.js';
export {needle} from './needle.js';
export {secondQuestion} from './second_question.js';
export {summary} from './summary.js';
export {variables} from './variables.js';
