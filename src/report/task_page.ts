import type {TaskEvaluation} from '../evaluate/index.js';
import {escaped, tableHtml} from './html.js';
import {taskColumns, taskHeading, taskNote} from './task_table.js';

/** Returns the answers to the questions of tasks as a section of a page. */
export function taskSection(evaluation: TaskEvaluation): string {
  return `<section>
<h2>${escaped(taskHeading(evaluation))}</h2>
${tableHtml(taskColumns(), evaluation.rows)}
<p class="note">${escaped(taskNote)}</p>
</section>`;
}
