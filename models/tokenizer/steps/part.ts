/** A part of a text on its way to tokens. */
export interface Part {
  readonly text: string;
  /**
   * Code units at the beginning of `text` that come from the first character of the whole text; 0 for every later part.
   * One pre-tokenizer asks for it: Metaspace with the prepend_scheme `first`.
   */
  readonly first: number;
}

export type Step = (part: Part) => Part;

/** A stretch `[start, end)` of a text in code units; `matched` if a pattern found it. */
export interface Stretch {
  readonly start: number;
  readonly end: number;
  readonly matched: boolean;
}

/** A whole text, cut into the matches of a pattern and the text between them. */
export type Cut = (text: string) => Stretch[];

export function slicePart({text, first}: Part, start: number, end: number): Part {
  return {text: text.slice(start, end), first: Math.max(0, Math.min(first, end) - start)};
}

/** A step that replaces characters in place: none is removed, none is added before the first. */
export function eachCharacter(change: (text: string) => string): Step {
  return ({text, first}) => ({
    text: change(text),
    first: first === 0 ? 0 : change(text.slice(0, first)).length,
  });
}

/** Where `find` matches, `content` instead. Each character of it counts as coming from the end of the match. */
export function replaceAll(find: Cut, content: string): Step {
  return ({text, first}) => {
    const out: string[] = [];
    let newFirst = 0;
    for (const {start, end, matched} of find(text)) {
      const piece = matched ? content : text.slice(start, end);
      if (first > 0) {
        if (!matched) newFirst += Math.max(0, Math.min(first, end) - start);
        else if (end <= first) newFirst += piece.length;
      }
      out.push(piece);
    }
    return {text: out.join(''), first: newFirst};
  };
}

export function prepend({text, first}: Part, content: string): Part {
  return {text: content + text, first: first === 0 ? 0 : first + content.length};
}

/** @param expression with the flags `g` and `u`. */
export function removeAll(expression: RegExp): Step {
  return ({text, first}) => {
    const firstKept = text.slice(0, first).replace(expression, '').length;
    return {text: text.replace(expression, ''), first: firstKept};
  };
}
