// Runs command lines of eigenkv one after the other in this process, and sends what each printed. Arguments: the URL of src/cli/run.js.
const {run} = await import(process.argv[2]);

let printed = '';
for (const stream of [process.stdout, process.stderr]) {
  stream.setMaxListeners(0); // run listens for errors, once per command
  stream.write = (/** @type {string | Uint8Array} */ text) => {
    printed += String(text);
    return true;
  };
}

process.on('message', async (/** @type {{folder: string; args: string[]}} */ {folder, args}) => {
  process.chdir(folder);
  printed = '';
  const code = await run(args);
  process.send?.({code, printed});
});
process.send?.('ready');
