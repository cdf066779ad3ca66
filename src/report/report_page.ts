import {chartSvg} from './evaluation_chart.js';
import {type EvaluationReport, reportColumns, reportHeading, reportNote} from './report_table.js';

/** Returns one self-contained HTML page with the table, the chart and the rows as JSON, in the reader's light or dark theme. */
export async function reportPage(report: EvaluationReport): Promise<string> {
  const columns = reportColumns(report);
  const cell = (tag: 'td' | 'th', text: string, align = 'right') =>
    `<${tag}${align === 'left' ? ' class="left"' : ''}>${escaped(text)}</${tag}>`;
  const head = columns.map(({head: name, align}) => cell('th', name, align)).join('');
  const body = report.rows
    .map(row => `<tr>${columns.map(({cell: text, align}) => cell('td', text(row), align)).join('')}</tr>`)
    .join('\n');
  const title = `${report.model}: what a compressed cache costs`;
  // a name may contain the end tag of a script
  const data = JSON.stringify(report).replaceAll('<', '\\u003c');
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(title)}</title>
<style>${style}</style>
</head>
<body>
<main>
<h1>${escaped(title)}</h1>
<p>${escaped(reportHeading(report))}.</p>
<figure role="img" aria-label="Perplexity against bytes per token, one point for each plan">
${await chartSvg(report)}
</figure>
<div class="scroll">
<table>
<thead><tr>${head}</tr></thead>
<tbody>
${body}
</tbody>
</table>
</div>
<p class="note">${escaped(reportNote(report))} The first row is the full cache. Made by <code>eigenkv eval</code>.</p>
</main>
<script type="application/json" id="report">${data}</script>
</body>
</html>
`;
}

/** The chart's colours are attributes, which a style sheet overrides. */
const style = `
:root { color-scheme: light dark; --paper: #ffffff; --ink: #1c2430; --faint: #5d6875; --line: #dfe4ea; --full: #b33f00; --policy: #1f5fa8; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14181e; --ink: #e6eaf0; --faint: #9aa6b4; --line: #2c343f; --full: #ff9b66; --policy: #7db8f5; }
}
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 76rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
h1 { font-size: 1.4rem; line-height: 1.25; }
figure { margin: 1.5rem 0; }
figure svg { max-width: 100%; height: auto; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.875rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.35rem 0.6rem; text-align: right; border-bottom: 1px solid var(--line); }
td { white-space: nowrap; }
th { color: var(--faint); font-weight: 600; vertical-align: bottom; }
.left { text-align: left; }
tbody tr:first-child td { font-weight: 600; }
.note { color: var(--faint); font-size: 0.875rem; }
figure svg > rect { fill: none; }
figure svg text[fill='#000'], figure svg text[fill='black'] { fill: var(--ink); }
figure svg text[stroke] { stroke: var(--paper); fill: var(--paper); }
figure svg .role-axis-grid line { stroke: var(--line); }
figure svg .role-axis-tick line, figure svg .role-axis-domain line { stroke: var(--faint); }
figure svg [fill='#b33f00'] { fill: var(--full); }
figure svg [fill='#1f5fa8'] { fill: var(--policy); }
`;

function escaped(text: string): string {
  return text.replace(/[&<>"]/g, character => `&#${character.charCodeAt(0)};`);
}
