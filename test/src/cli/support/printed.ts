/** What a command that runs in this process writes to stdout. */
export async function printed(run: () => Promise<void>): Promise<string> {
  const {write} = process.stdout;
  let text = '';
  process.stdout.write = (chunk: string | Uint8Array) => {
    text += typeof chunk === 'string' ? chunk : new TextDecoder().decode(chunk);
    return true;
  };
  try {
    await run();
  } finally {
    process.stdout.write = write;
  }
  return text;
}
