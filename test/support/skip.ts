/** Skips a test or a suite and prints the reason: what the machine lacks, or what to set so that the test runs. */
export function skip(context: Mocha.Context, reason: string): never {
  console.log(`      skipped: ${reason}`);
  return context.skip();
}
