import stringWidth from 'string-width';

/** The widest line of a text, in columns of a terminal. */
export const widestLine = (text: string): number =>
  Math.max(...text.split('\n').map(line => stringWidth(line)));
