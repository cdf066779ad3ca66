/** What a command that runs in this process writes to stdout and stderr. */
export async function written(run: () => Promise<void>): Promise<{stdout: string; stderr: string}> {
  const streams = {stdout: process.stdout, stderr: process.stderr};
  const text = {stdout: '', stderr: ''};
  const {stdout, stderr} = {stdout: process.stdout.write, stderr: process.stderr.write};
  for (const name of ['stdout', 'stderr'] as const) {
    streams[name].write = (chunk: string | Uint8Array) => {
      text[name] += typeof chunk === 'string' ? chunk : new TextDecoder().decode(chunk);
      return true;
    };
  }
  try {
    await run();
  } finally {
    process.stdout.write = stdout;
    process.stderr.write = stderr;
  }
  return text;
}

export async function printed(run: () => Promise<void>): Promise<string> {
  return (await written(run)).stdout;
}
