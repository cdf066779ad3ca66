import {InvalidArgumentError, didYouMean, shown} from '../../../base/errors.js';
import * as tasks from './kinds/index.js';
import type {Task, TaskFile, TaskLike} from './task.js';

/** The tasks of the package by name. */
const byName: ReadonlyMap<string, Task> = new Map(Object.values<Task>(tasks).map(task => [task.name, task]));

/** Returns the names of the tasks of the package. */
export function taskNames(): string[] {
  return [...byName.keys()];
}

/** Returns the tasks of the package, in the order of their names. */
export function allTasks(): Task[] {
  return [...byName.values()];
}

/** @throws InvalidArgumentError if it is no task, or no name of one: the message says the nearest. */
export function asTask(given: TaskLike): Task | TaskFile {
  if (typeof given === 'string') {
    const task = byName.get(given);
    if (task !== undefined) return task;
    const names = taskNames();
    throw new InvalidArgumentError(
      `There is no task "${given}"; there are ${names.join(', ')}.${didYouMean(given, names)}`,
    );
  }
  if (isTask(given)) return given;
  throw new InvalidArgumentError(
    `${shown(given)} is no task; expected a name (${taskNames().join(', ')}), an object with name and sample, or what parseTaskFile returns.`,
  );
}

/** Plain JavaScript callers may pass any value. */
function isTask(given: unknown): boolean {
  if (typeof given !== 'object' || given === null) return false;
  const {name, sample, samples} = given as Readonly<Record<string, unknown>>;
  return typeof name === 'string' && (typeof sample === 'function' || Array.isArray(samples));
}
