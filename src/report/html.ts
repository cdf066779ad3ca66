import type {Column} from './table.js';

export function escaped(text: string): string {
  return text.replace(/[&<>"]/g, character => `&#${character.charCodeAt(0)};`);
}

/**
 * Returns rows as a table that scrolls sideways if the page is narrow.
 * @param bold the row that others are compared with, or that was chosen. Default: none.
 */
export function tableHtml<Row>(columns: readonly Column<Row>[], rows: readonly Row[], bold?: Row): string {
  const cell = (tag: 'td' | 'th', text: string, align = 'right') =>
    `<${tag}${align === 'left' ? ' class="left"' : ''}>${escaped(text)}</${tag}>`;
  const body = rows.map(
    row =>
      `<tr${row === bold ? ' class="bold"' : ''}>${columns.map(({cell: text, align}) => cell('td', text(row), align)).join('')}</tr>`,
  );
  return `<div class="scroll">
<table>
<thead><tr>${columns.map(({head, align}) => cell('th', head, align)).join('')}</tr></thead>
<tbody>
${body.join('\n')}
</tbody>
</table>
</div>`;
}

export interface HtmlPage {
  readonly title: string;
  /** Below the title, as HTML. */
  readonly body: string;
  /** What programs read from the page: the id of the element, and its JSON. */
  readonly data: {readonly id: string; readonly value: unknown};
}

/** Returns one self-contained HTML page, in the reader's light or dark theme. */
export function htmlPage({title, body, data}: HtmlPage): string {
  // a name may contain the end tag of a script
  const json = JSON.stringify(data.value).replaceAll('<', '\\u003c');
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
${body}
</main>
<script type="application/json" id="${data.id}">${json}</script>
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
.bold td { font-weight: 600; }
section { margin-top: 2.5rem; }
h2 { font-size: 1.1rem; }
ul { padding-left: 1.2rem; }
.warning { color: var(--full); font-weight: 600; }
.note { color: var(--faint); font-size: 0.875rem; }
figure svg > rect { fill: none; }
figure svg text[fill='#000'], figure svg text[fill='black'] { fill: var(--ink); }
figure svg text[stroke] { stroke: var(--paper); fill: var(--paper); }
figure svg .role-axis-grid line { stroke: var(--line); }
figure svg .role-axis-tick line, figure svg .role-axis-domain line { stroke: var(--faint); }
figure svg [fill='#b33f00'] { fill: var(--full); }
figure svg [fill='#1f5fa8'] { fill: var(--policy); }
`;
