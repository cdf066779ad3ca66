/** The first bytes of files that are often saved in place of the right one, and what to do about each. */
const kinds: readonly {readonly start: string | RegExp; readonly is: string}[] = [
  {
    start: 'version https://git-lfs',
    is: 'a git-lfs pointer, not the file itself: run "git lfs pull" in its repository, or download the file',
  },
  {start: '\x1f\x8b', is: 'compressed (gzip): decompress it, or get it from a server that sends it as it is'},
  {
    start: '\x28\xb5\x2f\xfd',
    is: 'compressed (zstd): decompress it, or get it from a server that sends it as it is',
  },
  {start: '\xfd7zXZ\0', is: 'compressed (xz): decompress it'},
  {start: 'BZh', is: 'compressed (bzip2): decompress it'},
  {
    start: 'PK\x03\x04',
    is: 'a zip archive, such as a PyTorch checkpoint: use the safetensors or a GGUF file of the model',
  },
  {start: /^\x80[^ -\xff]/, is: 'a pickle of Python: use the safetensors or a GGUF file of the model'},
  {
    start: '\x89HDF',
    is: 'an HDF5 file, as Keras writes them: use the safetensors or a GGUF file of the model',
  },
  {start: /^(lmgg|fmgg|tjgg)/, is: 'a GGML file from before GGUF: convert the model again'},
  {
    start: /^(\xef\xbb\xbf)?\s*<(!doctype|html|head|body|!--)/i,
    is: 'a web page, not the file: the server wants a login or has an error; open the address in a browser and see',
  },
  {
    start: /^(\xef\xbb\xbf)?\s*<\?xml/i,
    is: 'an XML text, with which a server says that it does not give the file',
  },
];

/** How many bytes at a file's start `foreignContent` looks at. */
export const foreignBytes = 256;

/**
 * What a file is that is neither JSON nor weights, by its first bytes: a clause for a message, such as "is a web page, not the
 * file: ...". Undefined if the content is not recognised.
 */
export function foreignContent(start: Uint8Array): string | undefined {
  if (start.length === 0) return 'is empty: download or copy it again';
  if (start[8] === 0x7b) return undefined; // "{": safetensors, which begin with a number that may read as anything
  const text = String.fromCharCode(...start.subarray(0, foreignBytes));
  const kind = kinds.find(({start}) =>
    typeof start === 'string' ? text.startsWith(start) : start.test(text),
  );
  return kind && `is ${kind.is}`;
}
