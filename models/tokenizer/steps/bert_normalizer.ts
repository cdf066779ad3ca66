import {lowerCase, spaces} from './characters.js';
import {type Fields, needBoolean} from './fields.js';
import {type Step, eachCharacter, removeAll} from './part.js';

/** Control characters, formats, private use. U+0000 and U+FFFD are removed too; tab and line ends become spaces. */
const removed = /(?![\t\n\r])[\p{Cc}\p{Cf}\p{Co}\ufffd]/gu;
const blanks = new RegExp(`[${spaces}]`, 'gu');
/** The blocks that BERT's own code calls Chinese. */
const ideographs =
  /[\u4e00-\u9fff\u3400-\u4dbf\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b920}-\u{2ceaf}\uf900-\ufaff\u{2f800}-\u{2fa1f}]/gu;

/** What BERT does to a text first (Devlin et al. 2018, tokenization.py). */
export function bertNormalizer(step: Fields): Step {
  const lower = needBoolean(step, 'lowercase');
  const steps: Step[] = [];
  if (needBoolean(step, 'clean_text')) {
    steps.push(
      removeAll(removed),
      eachCharacter(text => text.replace(blanks, ' ')),
    );
  }
  if (needBoolean(step, 'handle_chinese_chars')) {
    steps.push(eachCharacter(text => text.replace(ideographs, ' $& ')));
  }
  if (needBoolean(step, 'strip_accents', lower)) {
    steps.push(
      eachCharacter(text => text.normalize('NFD')),
      removeAll(/\p{Mn}/gu),
    );
  }
  if (lower) steps.push(eachCharacter(lowerCase));
  return part => steps.reduce((before, one) => one(before), part);
}
