import {useLayoutEffect, useState} from 'preact/hooks';
import {CopyLink} from './copy_link.js';

const themes = ['auto', 'light', 'dark'] as const;
type Theme = (typeof themes)[number];
const key = 'eigenkv-theme';

export function Header() {
  return (
    <header>
      <div>
        <h1>eigenkv playground</h1>
        <p>
          A language model remembers its text as keys and values, its KV cache. Compress them, and watch
          bytes, speed and words.
        </p>
      </div>
      <div class="tools">
        <CopyLink />
        <ThemeSwitch />
      </div>
    </header>
  );
}

/** Light or dark, or as the system says. */
function ThemeSwitch() {
  const [theme, setTheme] = useState(storedTheme);
  useLayoutEffect(() => {
    document.documentElement.dataset['theme'] = theme;
    storeTheme(theme);
  }, [theme]);
  return (
    <fieldset class="switch">
      <legend class="hidden">Colours</legend>
      {themes.map(name => (
        <label key={name}>
          <input type="radio" name="theme" checked={theme === name} onChange={() => setTheme(name)} />
          <span>{name}</span>
        </label>
      ))}
    </fieldset>
  );
}

/** Storage may be forbidden, as in private windows. */
function storedTheme(): Theme {
  try {
    const stored = localStorage.getItem(key);
    return themes.find(theme => theme === stored) ?? 'auto';
  } catch {
    return 'auto';
  }
}

function storeTheme(theme: Theme): void {
  try {
    localStorage.setItem(key, theme);
  } catch {
    // it lasts as long as the page then
  }
}
