import '@tensorflow/tfjs-backend-webgpu'; // in a page it is imported by its name, or not found

// The page that run.ts opens in Chromium, with test files in its address: mocha's browser build runs what mocha runs in Node.

declare global {
  /** Given by run.ts. */
  function reportLine(line: string): Promise<void>;
  function reportEnd(passed: number, failed: number): Promise<void>;
}

mocha.setup({ui: 'bdd', timeout: 600_000, reporter: 'spec'});
for (const file of new URLSearchParams(location.search).getAll('file')) {
  await import(/* @vite-ignore */ `/${file}`);
}
report(mocha.run());

/** What a test was, what went wrong, and how many there were. */
function report(runner: Mocha.Runner): void {
  const counts = {passed: 0, failed: 0};
  runner.on('pass', test => {
    counts.passed += 1;
    void reportLine(`  ok ${test.fullTitle()} (${test.duration ?? 0} ms)`);
  });
  runner.on('fail', (test, error: Error) => {
    counts.failed += 1;
    void reportLine(`  FAILED ${test.fullTitle()}\n${error.stack ?? error.message}`);
  });
  runner.on('end', () => void reportEnd(counts.passed, counts.failed));
}
