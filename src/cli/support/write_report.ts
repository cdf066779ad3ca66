import type {EvaluationReport} from '../../evaluate/index.js';
import {chartSvg} from './chart.js';
import {jsonFile, writeFiles} from './write_files.js';

/**
 * Writes report.json and chart.svg into a folder, which is made where it is not there.
 * @returns their paths.
 * @throws TransferError where the disk fails.
 */
export async function writeReport(report: EvaluationReport, folder: string): Promise<string[]> {
  return writeFiles(folder, {'report.json': jsonFile(report), 'chart.svg': await chartSvg(report)});
}
