interface OpfsFolder {
  getDirectoryHandle(name: string, options?: {create: boolean}): Promise<OpfsFolder>;
  getFileHandle(name: string, options?: {create: boolean}): Promise<OpfsFile>;
}

interface OpfsFile {
  getFile(): Promise<Blob>;
  createWritable(): Promise<{write(bytes: Uint8Array<ArrayBuffer>): Promise<void>; close(): Promise<void>}>;
}

/**
 * The origin private file system as the File System standard has it (whatwg fs, 2024): what is written lies aside until
 * `close`, and a file that was made is empty until then.
 */
export function fakeOpfs(): {root: OpfsFolder; failAt: 'write' | 'close' | undefined} {
  const fake = {root: folder(), failAt: undefined as 'write' | 'close' | undefined};
  const quota = () => Promise.reject(new DOMException('the quota is used up', 'QuotaExceededError'));

  function folder(): OpfsFolder {
    const folders = new Map<string, OpfsFolder>();
    const files = new Map<string, OpfsFile>();
    return {
      getDirectoryHandle: (name, {create} = {create: false}) => got(folders, name, create && folder),
      getFileHandle: (name, {create} = {create: false}) => got(files, name, create && file),
    };
  }

  function file(): OpfsFile {
    let content = new Blob([]);
    return {
      getFile: () => Promise.resolve(content),
      createWritable: () => {
        const aside: Blob[] = [];
        return Promise.resolve({
          write: bytes =>
            fake.failAt === 'write' ? quota() : (aside.push(new Blob([bytes])), Promise.resolve()),
          close: () => (fake.failAt === 'close' ? quota() : ((content = new Blob(aside)), Promise.resolve())),
        });
      },
    };
  }

  return fake;
}

function got<T>(entries: Map<string, T>, name: string, make: false | (() => T)): Promise<T> {
  const entry = entries.get(name) ?? (make === false ? undefined : make());
  if (entry === undefined) return Promise.reject(new DOMException(`there is no ${name}`, 'NotFoundError'));
  entries.set(name, entry);
  return Promise.resolve(entry);
}
