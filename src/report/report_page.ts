import {certificateSection} from './certificate_page.js';
import {chartSvg} from './evaluation_chart.js';
import {escaped, htmlPage, tableHtml} from './html.js';
import {
  type EvaluationReport,
  driftWarnings,
  reportColumns,
  reportHeading,
  reportNote,
} from './report_table.js';
import {askedSections} from './asked.js';

/** Returns one self-contained HTML page with the table, the chart, answers to questions, certificates and the rows as JSON, in the reader's light or dark theme. */
export async function reportPage(report: EvaluationReport): Promise<string> {
  const {certificates = []} = report;
  const warnings = driftWarnings(report).map(warning => `<p class="warning">${escaped(warning)}</p>`);
  return htmlPage({
    title: `${report.model}: what a compressed cache costs`,
    body: `<p>${escaped(reportHeading(report))}.</p>
<figure role="img" aria-label="Perplexity against bytes per token, one point for each plan">
${await chartSvg(report)}
</figure>
${tableHtml(reportColumns(report), report.rows, report.rows[0])}
${warnings.join('\n')}
<p class="note">${escaped(reportNote(report))} The first row is the full cache. Made by <code>eigenkv eval</code>.</p>
${await askedSections(report.model, report)}
${certificates.map(certificateSection).join('\n')}`,
    data: {id: 'report', value: report},
  });
}
