import {useState} from 'preact/hooks';

/** Puts the address, which holds all settings, on the clipboard. */
export function CopyLink() {
  const [said, setSaid] = useState('');
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(location.href);
      setSaid('Copied');
    } catch {
      setSaid('Copy it from the address bar'); // pages from the network without https have no clipboard
    }
    setTimeout(() => setSaid(''), 2000);
  };
  return (
    <button type="button" class="quiet" onClick={() => void copy()}>
      <span aria-live="polite">{said === '' ? 'Copy link' : said}</span>
    </button>
  );
}
