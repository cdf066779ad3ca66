import {execFileSync} from 'node:child_process';
import {appendFile, readFile} from 'node:fs/promises';
import {cpus} from 'node:os';
import {fileURLToPath} from 'node:url';

/** One measured case of a run: its labels as texts, its measurements as numbers. */
export type Figure = Readonly<Record<string, string | number>>;

/** One run of a benchmark or an evaluation. A line of JSON in `bench/history/<what>.jsonl`. */
export interface Run {
  /** UTC, `YYYY-MM-DD`. */
  readonly date: string;
  /** Abbreviated hash; a `+` follows it if the working tree had changes. */
  readonly commit: string;
  /** Processors and operating system in words. */
  readonly machine: string;
  /** Version of Node. */
  readonly node: string;
  /** What was measured: the name of the file in bench/history, such as `decode` or `eval`. */
  readonly what: string;
  /** On what: a model and its text, or the shapes of attention. Runs of equal `what` and `subject` are comparable. */
  readonly subject: string;
  readonly figures: readonly Figure[];
}

const sources = ['--', ':/', ':(top,exclude)bench/history', ':(top,exclude)docs'];
const fileOf = (what: string) => fileURLToPath(new URL(`../history/${what}.jsonl`, import.meta.url));

/** All runs of one kind, the oldest first. */
export async function runsOf(what: string): Promise<Run[]> {
  const lines = (await readFile(fileOf(what), 'utf8')).trimEnd().split('\n');
  return lines.map(line => JSON.parse(line) as Run).sort((a, b) => a.date.localeCompare(b.date));
}

/** Appends one run, made now by this commit on this machine. The runs recorded before it and their tables do not count as changes. */
export async function record(run: Pick<Run, 'what' | 'subject' | 'figures'>): Promise<void> {
  const git = (...args: string[]) => execFileSync('git', args, {encoding: 'utf8'}).trim();
  const {what, subject, figures} = run;
  const line: Run = {
    date: new Date().toISOString().slice(0, 10),
    commit:
      git('rev-parse', '--short=7', 'HEAD') + (git('status', '--porcelain', ...sources) === '' ? '' : '+'),
    machine: `${cpus().length} x ${cpus()[0]?.model.trim() ?? 'unknown processor'}, ${process.platform}`,
    node: process.versions.node,
    ...{what, subject, figures},
  };
  await appendFile(fileOf(what), `${JSON.stringify(line)}\n`);
}
