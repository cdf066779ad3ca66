/** Questions about long contexts, which tell what a compressed cache forgets. */
export type {Answer} from './answer.js';
export {allTasks, asTask, taskNames} from './as_task.js';
export {type EvaluateTasksOptions, evaluateTasks} from './evaluate_tasks.js';
export {predictionsCsv} from './predictions.js';
export type {Task, TaskFile, TaskLike, TaskQuestion, TaskSample, TaskSetting} from './task.js';
export type {TaskAnswer, TaskEvaluation, TaskRow} from './task_evaluation.js';
export {parseTaskFile} from './task_file.js';
