import type {WritingDivergence} from '../evaluate/index.js';
import {escaped, tableHtml} from './html.js';
import {writingChart, writingColumns, writingHeading, writingNote} from './writing_table.js';

/** Returns the divergence along a written text as a section of a page. */
export async function writingSection(model: string, divergence: WritingDivergence): Promise<string> {
  return `<section>
<h2>${escaped(writingHeading(divergence))}</h2>
<figure role="img" aria-label="KL divergence over the written tokens, one line for each plan">
${await writingChart(model, divergence)}
</figure>
${tableHtml(writingColumns(divergence), divergence.rows)}
<p class="note">${escaped(writingNote)}</p>
</section>`;
}
