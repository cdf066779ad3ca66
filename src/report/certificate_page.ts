import {
  type NamedCertificate,
  certificateColumns,
  certificateFacts,
  certificateHeading,
  certificateNote,
} from './certificate_table.js';
import {escaped, tableHtml} from './html.js';

/** Returns a certificate as a section of a page. */
export function certificateSection(certificate: NamedCertificate): string {
  const left = certificate.whole.drift?.hasLeft === true;
  const facts = certificateFacts(certificate).map(
    (fact, i, {length}) => `<li${left && i === length - 1 ? ' class="warning"' : ''}>${escaped(fact)}</li>`,
  );
  return `<section>
<h2>${escaped(certificateHeading(certificate))}</h2>
<ul>
${facts.join('\n')}
</ul>
${tableHtml(certificateColumns(certificate), certificate.depths)}
<p class="note">${escaped(certificateNote)}</p>
</section>`;
}
