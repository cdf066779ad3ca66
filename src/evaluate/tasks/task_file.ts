import {FormatError, shown} from '../../../base/errors.js';
import {parseCsv} from '../../../base/files/csv.js';
import {parseJsonText} from '../../../base/files/json_text.js';
import {isRecord} from '../../../base/records.js';
import {listedAnswers} from './listed_answers.js';
import type {TaskFile, TaskQuestion} from './task.js';

/** Tokens that a model writes if a file does not say how many. */
const usualNewTokens = 32;

/** A row of a file, with the number of its line or record for messages. */
interface Row {
  readonly place: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/**
 * Reads questions in the format of kvpress (https://github.com/NVIDIA/kvpress), in which RULER, LongBench and others are published: JSON
 * lines, a JSON list of objects or CSV, with the columns `context`, `question`, `answer_prefix` and `answer` (or `answers`), a text or a list of texts; and, if it
 * has them, `task` and `max_new_tokens`. As kvpress does without a chat template, a line break separates question and answer prefix.
 * An answer counts by the share of the answers that occur in what the model writes.
 *
 * @param text what the file holds.
 * @param name its name: `.csv` for CSV; everything else is read as JSON. Rows without a `task` have the task of that name.
 * @returns a task for each `task`, with the questions about one context together.
 * @throws FormatError if it is neither, is empty, or lacks a column or a value: the message says which and where.
 */
export function parseTaskFile(text: string, name: string): TaskFile[] {
  const rows = name.toLowerCase().endsWith('.csv') ? csvRows(text, name) : jsonRows(text, name);
  if (rows.length === 0) throw new FormatError(`${name} has no rows; expected one for each question.`);
  const tasks = new Map<string, Map<string, TaskQuestion[]>>();
  for (const row of rows) {
    const task = textOf(row, 'task', name);
    const contexts = tasks.get(task) ?? new Map<string, TaskQuestion[]>();
    const context = textOf(row, 'context');
    if (context.trim() === '') throw new FormatError(`${row.place} has an empty context; give it some text.`);
    contexts.set(context, [...(contexts.get(context) ?? []), questionOf(row)]);
    tasks.set(task, contexts);
  }
  return [...tasks].map(([task, contexts]) => ({
    name: task,
    samples: [...contexts].map(([context, questions]) => ({context, questions})),
  }));
}

function jsonRows(text: string, name: string): Row[] {
  const json = text.replace(/^\uFEFF/, '');
  if (/^\s*\[\s*[{\]]/.test(json)) {
    if (/\][^\S\n]*\n\s*\[/.test(json)) {
      throw new FormatError(
        `${name} has several lists; write one of all objects, [{...}, {...}], or each object on a line of its own, without brackets around it.`,
      );
    }
    const list = parseJsonText(json, name) as readonly unknown[];
    return list.map((fields, index) => jsonRow(fields, `${name}, item ${index + 1},`));
  }
  const lines = json.split('\n');
  if (spansLines(lines)) {
    throw new FormatError(
      `${name} has an object over several lines; write each object on a line of its own, or a list of them: [{...}, {...}].`,
    );
  }
  return lines.flatMap((line, index) => {
    const place = `${name}, line ${index + 1},`;
    return line.trim() === '' ? [] : [jsonRow(parseJsonText(line, place), place)];
  });
}

/** Whether the first object ends on another line than it begins. */
function spansLines(lines: readonly string[]): boolean {
  const [first = '', next = ''] = lines.map(line => line.trim()).filter(line => line !== '');
  return next !== '' && /^\{/.test(first) && (/[{[,:]$/.test(first) || /^[,:\]}]/.test(next));
}

function jsonRow(fields: unknown, place: string): Row {
  if (isRecord(fields)) return {place, fields};
  throw new FormatError(
    `${place} is ${shown(fields)}; expected an object with context, question and answer.`,
  );
}

function csvRows(text: string, name: string): Row[] {
  const [header = [], ...records] = parseCsv(text, name);
  const twice = header.find((column, i) => header.indexOf(column) < i);
  if (twice !== undefined)
    throw new FormatError(`${name} has two columns "${twice}"; leave one of them out.`);
  return records.map((record, index) => ({
    place: `${name}, record ${index + 2},`,
    fields: Object.fromEntries(header.map((column, i) => [column, record[i]])),
  }));
}

function questionOf(row: Row): TaskQuestion {
  return {
    question: `${textOf(row, 'question')}\n`,
    answerPrefix: textOf(row, 'answer_prefix', ''),
    answers: answersOf(row),
    match: 'contains',
    newTokens: newTokensOf(row),
  };
}

/** @param fallback what a row without the column has. Default: it must have it. */
function textOf({place, fields}: Row, column: string, fallback?: string): string {
  const value = fields[column] ?? fallback;
  if (typeof value === 'string') return value;
  throw new FormatError(
    value === undefined
      ? `${place} has no column "${column}"; expected context, question, answer_prefix and answer, as kvpress has them.`
      : `${place} has ${shown(value)} as ${column}; expected a text.`,
  );
}

function answersOf(row: Row): string[] {
  const {place, fields} = row;
  const value = fields['answer'] ?? fields['answers'];
  const answers = typeof value === 'string' ? listedAnswers(value) : Array.isArray(value) ? value : [value];
  if (answers.length > 0 && answers.every(isAnswer)) return answers.map(String);
  if (value === undefined) textOf(row, 'answer');
  throw new FormatError(
    `${place} has ${shown(value)} as answer; expected a text or a list of texts, none of them empty.`,
  );
}

/** Whole numbers beyond those that JavaScript knows exactly were others in the file. */
const isAnswer = (answer: unknown) =>
  typeof answer === 'string'
    ? answer.trim() !== ''
    : Number.isFinite(answer) && (Number.isSafeInteger(answer) || !Number.isInteger(answer));

function newTokensOf({place, fields}: Row): number {
  const value = fields['max_new_tokens'];
  if (value === undefined || value === null || value === '') return usualNewTokens;
  const tokens = typeof value === 'string' ? Number(value) : value;
  if (typeof tokens === 'number' && Number.isSafeInteger(tokens) && tokens > 0) return tokens;
  throw new FormatError(`${place} has ${shown(value)} as max_new_tokens; expected a whole number above 0.`);
}
