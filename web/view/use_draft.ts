import {useState} from 'preact/hooks';

/**
 * The text of a field: the setting, or what is being typed until it is taken or the field is left. The page is drawn many times
 * a second while a model writes, and would put the setting back under the typing hand.
 */
export function useDraft(setting: string): [text: string, setDraft: (text: string | undefined) => void] {
  const [draft, setDraft] = useState<string | undefined>(undefined);
  return [draft ?? setting, setDraft];
}
