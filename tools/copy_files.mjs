// Copies the files that modules read at run time into dist: the embedded model and the profiles of transforms.
import {cpSync, mkdirSync, readdirSync} from 'node:fs';

const root = new URL('../', import.meta.url);

const copied = {
  'models/embedded/': [
    'README.md',
    'config.json',
    'tokenizer.json',
    'model.safetensors',
    'held_out.txt',
    'train_sample.txt',
  ],
  'profiles/': readdirSync(new URL('profiles/', root)),
};

for (const [folder, files] of Object.entries(copied)) {
  const [from, to] = [new URL(folder, root), new URL(`dist/${folder}`, root)];
  mkdirSync(to, {recursive: true});
  for (const file of files) cpSync(new URL(file, from), new URL(file, to));
}
