// Copies the embedded model beside the module that reads it, dist/models/embedded_model.js.
import {cpSync, mkdirSync} from 'node:fs';

const from = new URL('../models/embedded/', import.meta.url);
const to = new URL('../dist/models/embedded/', import.meta.url);
mkdirSync(to, {recursive: true});
for (const file of [
  'README.md',
  'config.json',
  'tokenizer.json',
  'model.safetensors',
  'held_out.txt',
  'train_sample.txt',
]) {
  cpSync(new URL(file, from), new URL(file, to));
}
