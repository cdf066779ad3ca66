interface TokenTextProps {
  readonly prompt: readonly string[];
  readonly written: readonly string[];
  /** The first written token that differs between the two texts. */
  readonly partsAt: number | undefined;
  /** The share of heads that still hold each token, prompt first. Default: all hold all. */
  readonly share?: readonly number[];
}

/**
 * A prompt and the generated text, token by token: dimmed if few heads still hold the token, struck through if none does. The first
 * token that differs is marked.
 */
export function TokenText({prompt, written, partsAt = Infinity, share}: TokenTextProps) {
  const token = (text: string, index: number) => {
    const held = share?.[index] ?? 1;
    const title = held < 1 ? `held by ${Math.round(100 * held)} % of the heads` : undefined;
    return (
      <span key={index} class={heldClass(held)} {...(title !== undefined && {title})}>
        {index === prompt.length + partsAt ? <mark class="parts">{text}</mark> : text}
      </span>
    );
  };
  return (
    <>
      <span>{prompt.map(token)}</span>
      <span class="written">{written.map((text, index) => token(text, prompt.length + index))}</span>
    </>
  );
}

/** Five steps are told apart by eye: 0 is evicted everywhere, 4 is held everywhere. */
function heldClass(share: number): string {
  if (share >= 1) return 'held-4';
  return share <= 0 ? 'held-0' : `held-${Math.min(3, 1 + Math.floor(share * 3))}`;
}
