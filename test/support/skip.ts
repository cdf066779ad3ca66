/** Skips a test or a suite, and says why: the reason is a fact of the machine, or what to set to have it run. */
export function skip(context: Mocha.Context, reason: string): never {
  console.log(`      skipped: ${reason}`);
  return context.skip();
}
