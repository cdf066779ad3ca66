import type {TaskEvaluation, WritingDivergence} from '../evaluate/index.js';
import {taskSection} from './task_page.js';
import {taskText} from './task_table.js';
import {writingSection} from './writing_page.js';
import {writingText} from './writing_table.js';

/** What was measured of plans besides a text. Parts that were not asked for are absent. */
export interface Asked {
  /** What the plans make of questions about long contexts. */
  readonly tasks?: TaskEvaluation;
  /** How far the plans are from the full cache while it writes. */
  readonly writing?: WritingDivergence;
}

/** Returns each part as text. */
export function askedTexts({tasks, writing}: Asked): string[] {
  return [...(tasks ? [taskText(tasks)] : []), ...(writing ? [writingText(writing)] : [])];
}

/** Returns the parts as sections of a page. @param model its name, for the chart. */
export async function askedSections(model: string, {tasks, writing}: Asked): Promise<string> {
  return [
    ...(tasks ? [taskSection(tasks)] : []),
    ...(writing ? [await writingSection(model, writing)] : []),
  ].join('\n');
}
