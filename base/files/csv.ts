import {FormatError} from '../errors.js';

/**
 * Reads a text of comma-separated values (RFC 4180): a field in quotes may hold commas, line breaks and doubled quotes. Empty lines are
 * passed over.
 *
 * @param name what messages call the text.
 * @returns the fields of each record, the header first.
 * @throws FormatError if a quote is not closed, or something follows a closed one, or a record has not as many fields as the header.
 */
export function parseCsv(text: string, name: string): string[][] {
  const records: string[][] = [];
  let record: string[] = [];
  for (let at = text.startsWith('\uFEFF') ? 1 : 0; at < text.length;) {
    const {field, end} = text[at] === '"' ? quoted(text, at, name) : bare(text, at);
    record.push(field);
    const after = text[end];
    if (after === ',') {
      at = end + 1;
      if (at < text.length) continue;
      record.push(''); // the text ends with a comma
    } else if (after !== undefined && after !== '\r' && after !== '\n') {
      throw new FormatError(
        `${name} has a quoted field that "${after}" follows, in record ${records.length + 1}; double the quotes inside it.`,
      );
    }
    at = end + (text.startsWith('\r\n', end) ? 2 : 1);
    if (record.length > 1 || field !== '') records.push(checked(record, records, name));
    record = [];
  }
  return records;
}

function checked(record: string[], records: readonly string[][], name: string): string[] {
  const fields = records[0]?.length ?? record.length;
  if (record.length === fields) return record;
  throw new FormatError(
    `${name} has ${record.length} fields in record ${records.length + 1} and ${fields} in its header; put fields with commas into quotes.`,
  );
}

interface Field {
  readonly field: string;
  /** The index of what follows: a comma, the end of a line or of the text. */
  readonly end: number;
}

function bare(text: string, start: number): Field {
  const separator = /[,\r\n]/g;
  separator.lastIndex = start;
  const end = separator.exec(text)?.index ?? text.length;
  return {field: text.slice(start, end), end};
}

function quoted(text: string, start: number, name: string): Field {
  for (let end = text.indexOf('"', start + 1); end > 0; end = text.indexOf('"', end + 2)) {
    if (text[end + 1] === '"') continue;
    return {field: text.slice(start + 1, end).replaceAll('""', '"'), end: end + 1};
  }
  throw new FormatError(`${name} ends within quotes; it is cut off, or a quote in it is not doubled.`);
}

/** Returns records as comma-separated values (RFC 4180, with LF): fields are in quotes if they need them. */
export function csvText(records: readonly (readonly string[])[]): string {
  return records.map(record => `${record.map(csvField).join(',')}\n`).join('');
}

function csvField(field: string): string {
  return /[",\r\n]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field;
}
