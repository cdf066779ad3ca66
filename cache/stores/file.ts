import {diskError, errorCode, writeFileAtomically} from '../../base/files/disk.js';
import {type ByteStore, type StoreOptions, byteStore} from './store.js';

/**
 * Files `NAME.safetensors` in a folder, which is created if it does not exist (Node only). A file holds either the whole
 * snapshot or its former content, even if the process is killed or the power fails: see `writeFileAtomically`.
 */
export function fileStore(folder: string, options: StoreOptions = {}): ByteStore {
  const pathOf = (name: string) => process.getBuiltinModule('node:path').join(folder, `${name}.safetensors`);
  const files = {
    async get(name: string) {
      const path = pathOf(name);
      try {
        return await process.getBuiltinModule('node:fs/promises').readFile(path);
      } catch (error) {
        if (errorCode(error) === 'ENOENT') return undefined;
        throw diskError(error, `read ${path}`);
      }
    },
    set: (name: string, bytes: Uint8Array) => writeFileAtomically(pathOf(name), [bytes]),
  };
  return byteStore(files, options, 'folder');
}
