import {basename, dirname} from 'node:path';
import type {EvaluationReport} from '../../evaluate/index.js';
import {chartSvg} from '../../report/evaluation_chart.js';
import {reportPage} from '../../report/report_page.js';
import {jsonFile, writeFiles} from './write_files.js';

/**
 * Writes report.json and, where there is a `chart` to be, chart.svg into a folder, which is made where it is not there.
 * @returns their paths.
 * @throws TransferError where the disk fails, BackendError where the packages that draw are not installed.
 */
export async function writeReport(report: EvaluationReport, folder: string, chart = true): Promise<string[]> {
  const files = {'report.json': jsonFile(report), ...(chart && {'chart.svg': await chartSvg(report)})};
  return writeFiles(folder, files);
}

/**
 * Writes an evaluation as one page.
 * @returns its path.
 * @throws TransferError where the disk fails, BackendError where the packages that draw are not installed.
 */
export async function writeReportPage(report: EvaluationReport, file: string): Promise<string> {
  await writeFiles(dirname(file), {[basename(file)]: await reportPage(report)});
  return file;
}
