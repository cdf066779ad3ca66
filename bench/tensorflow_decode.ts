/**
 * Decoding on the backend tensorflow, codecs in turns in one run:
 *
 *     npx tsx bench/tensorflow_decode.ts [--tokens 8192] [--rounds 20] [--codecs int8,int4,float8] [--shapes SmolLM2,Llama-7B] [--record]
 *
 * One query over the past of one depth. Of each round, in which every codec has a few runs, only the ratios to dense count, of which the median is told:
 * all of a round share the machine with the same other jobs. CPU time is that of all threads. Dense is measured without and with room for further tokens, which
 * caches have. Needs tfjs-node (docs/backends/tensorflow.md). `--record` appends to bench/history (then `npm run docs:tables`).
 */
import {parseArgs} from 'node:util';
import * as tf from '@tensorflow/tfjs';
import {median} from '../base/statistics.js';
import {attendSegments} from '../ops/attention/attend/segments.js';
import {useBackend} from '../ops/backends/use_backend.js';
import type {Encoding} from '../ops/encodings/encoding.js';
import {type ModelShape, modelShapes} from './decode.js';
import {type BenchCodec, benchCodecs} from './support/codecs.js';
import {type Figure, record} from './support/history.js';

const {values: options} = parseArgs({
  options: {
    tokens: {type: 'string', default: '8192'},
    rounds: {type: 'string', default: '20'},
    codecs: {type: 'string', default: 'int8,int4,float8'},
    shapes: {type: 'string', default: modelShapes.map(({name}) => name).join(',')},
    record: {type: 'boolean', default: false},
  },
});
const [tokens, rounds] = [options.tokens, options.rounds].map(Number) as [number, number];
/** Tokens that a cache's buffer has room for beside those it holds. */
const spare = 512;

await useBackend('tensorflow');
const figures: Figure[] = [];
for (const shape of modelShapes.filter(({name}) => options.shapes.split(',').includes(name))) {
  const own = figuresOf(shape);
  console.table(own);
  figures.push(...own);
}
if (options.record)
  await record({what: 'tensorflow_decode', subject: `One query over ${tokens} tokens of one depth`, figures});

function figuresOf(shape: ModelShape): Figure[] {
  const tasks = tasksOf(shape);
  const names = Object.keys(tasks);
  const each = shape.kvHeads * shape.dim > 1000 ? 2 : 10;
  for (const name of names) repeat(tasks[name]!, 5 * each);
  const times = Object.fromEntries(names.map(name => [name, {wall: [] as number[], cpu: [] as number[]}]));
  for (let round = 0; round < rounds; round++) {
    for (const name of names) {
      const cpu = process.cpuUsage();
      const start = performance.now();
      repeat(tasks[name]!, each);
      times[name]!.wall.push((performance.now() - start) / each);
      const {user, system} = process.cpuUsage(cpu);
      times[name]!.cpu.push((user + system) / 1000 / each);
    }
  }
  const timesOf = (clock: 'wall' | 'cpu', name: string, other: string) =>
    digits(median(times[name]![clock].map((ms, round) => times[other]![clock][round]! / ms)));
  return names.map(name => ({
    shape: `${shape.heads} of ${shape.dim}, ${shape.kvHeads} key heads`,
    codec: name,
    cpuMs: digits(median(times[name]!.cpu)),
    ms: digits(median(times[name]!.wall)),
    timesDense: timesOf('wall', name, 'dense'),
    timesDenseCpu: timesOf('cpu', name, 'dense'),
    timesSpare: timesOf('wall', name, 'denseSpare'),
    timesSpareCpu: timesOf('cpu', name, 'denseSpare'),
  }));
}

/** What attends the past as each codec stores it. */
function tasksOf({heads, kvHeads, dim}: ModelShape): Record<string, () => void> {
  const random = new Map<number, tf.Tensor4D>();
  const past = (channels = dim): tf.Tensor4D => {
    const x = random.get(channels) ?? tf.randomUniform<tf.Rank.R4>([1, kvHeads, tokens, channels], -2, 2);
    random.set(channels, x);
    return x;
  };
  const withRoom = (): Encoding => {
    const data = tf.pad(past(), [
      [0, 0],
      [0, 0],
      [0, spare],
      [0, 0],
    ]);
    return {kind: 'dense', dim, data};
  };
  const queries: tf.Tensor4D = tf.randomNormal([1, heads, 1, dim]);
  const scale = dim ** -0.5;
  const stored = ({keys, values}: BenchCodec) => ({keys: keys(past), values: values(past)});
  const sides = {
    dense: stored(benchCodecs['dense']!),
    denseSpare: {keys: withRoom(), values: withRoom()},
    ...Object.fromEntries(options.codecs.split(',').map(name => [name, stored(benchCodecs[name]!)])),
  };
  return Object.fromEntries(
    Object.entries(sides).map(([name, side]) => [
      name,
      () => {
        tf.tidy(() => void attendSegments(queries, [{...side, tokens, scale}]));
      },
    ]),
  );
}

function repeat(task: () => void, times: number): void {
  for (let i = 0; i < times; i++) task();
}

function digits(value: number): number {
  return Number(value.toPrecision(3));
}
