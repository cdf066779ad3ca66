import {mkdir} from 'node:fs/promises';
import {join} from 'node:path';
import {diskError, writeFileAtomically} from '../../../models/weights/disk.js';
import type {EvaluationReport} from '../../evaluate/index.js';
import {chartSvg} from './chart.js';

/**
 * Writes report.json and chart.svg into a folder, which is made where it is not there.
 * @returns their paths.
 * @throws TransferError where the disk fails.
 */
export async function writeReport(report: EvaluationReport, folder: string): Promise<string[]> {
  const files = {
    'report.json': `${JSON.stringify(report, undefined, 2)}\n`,
    'chart.svg': await chartSvg(report),
  };
  await mkdir(folder, {recursive: true}).catch((error: unknown) => {
    throw diskError(error, `make the folder ${folder}`);
  });
  for (const [name, content] of Object.entries(files)) {
    await writeFileAtomically(join(folder, name), [new TextEncoder().encode(content)]);
  }
  return Object.keys(files).map(name => join(folder, name));
}
