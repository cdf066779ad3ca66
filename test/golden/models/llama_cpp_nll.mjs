// llama.cpp's likelihood of the ids in smollm2.json, by node-llama-cpp 3.22.1 on the CPU; written into that file.
//
//   npm install --no-save node-llama-cpp@3.22.1
//   node llama_cpp_nll.mjs MODEL.gguf smollm2.json wikitext2-test.txt
//
// llama.cpp rounds activations to 8 bit before each product with quantised weights, and keeps keys and values in
// float16: expect agreement to about 1 %, not more.
import {readFile, writeFile} from 'node:fs/promises';
import {getLlama} from 'node-llama-cpp';

const [modelPath, goldenPath, textPath] = process.argv.slice(2);
const golden = JSON.parse(await readFile(goldenPath, 'utf8'));
const ids = golden.ids;

const llama = await getLlama({gpu: false, build: 'never', progressLogs: false});
const model = await llama.loadModel({modelPath});

const text = Array.from(await readFile(textPath, 'utf8')).slice(0, golden.text.characters).join('');
const tokenized = model.tokenize(text);
const tokenizerAgrees = tokenized.length === ids.length && tokenized.every((id, i) => id === ids[i]);

const context = await model.createContext({contextSize: 2048, batchSize: 512, threads: 2, flashAttention: false});
const sequence = context.getSequence();
const start = performance.now();
const nlls = [];
let lastTop5;
// A map of 49,152 probabilities a token: read each as it comes, keep none.
await sequence.controlledEvaluate(
  ids.map(id => [id, {generateNext: {logits: true, options: {temperature: 0}}}]),
  {
    onTokenResult(i, {next}) {
      const logits = next.logits;
      const [[, top]] = logits;
      let sum = 0;
      for (const logit of logits.values()) sum += Math.exp(logit - top);
      if (i + 1 < ids.length) nlls.push(top + Math.log(sum) - logits.get(ids[i + 1]));
      else lastTop5 = [...logits].slice(0, 5);
    },
  },
);
const seconds = (performance.now() - start) / 1000;
if (nlls.length !== ids.length - 1) throw new Error(`${nlls.length} of ${ids.length - 1} predictions came back`);

const {release} = llama.llamaCppRelease;
golden.llamaCpp = {
  what: 'llama.cpp by node-llama-cpp, made by llama_cpp_nll.mjs',
  nodeLlamaCpp: '3.22.1',
  llamaCppRelease: release,
  gpu: llama.gpu,
  kvCache: 'float16 (its default)',
  meanNll: nlls.reduce((a, b) => a + b, 0) / nlls.length,
  relativeDifference: nlls.reduce((a, b) => a + b, 0) / nlls.length / golden.meanNll - 1,
  lastTop5: {ids: lastTop5.map(([id]) => id), logits: lastTop5.map(([, logit]) => logit)},
  tokenizerAgrees,
};
await writeFile(goldenPath, JSON.stringify(golden, null, 1).replaceAll(',\n  ', ', ') + '\n');
console.log(golden.llamaCpp, `${seconds.toFixed(1)} s`);
await llama.dispose();
