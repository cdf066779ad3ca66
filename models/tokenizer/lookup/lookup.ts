/** The ids of the tokens of one part of a text, which is not empty. */
export type Lookup = (part: string) => readonly number[];
