import {Bench} from 'tinybench';
import {median} from '../../base/statistics.js';

/**
 * Times tasks that take turns, so that a busy machine is busy for all of them: the median milliseconds of each.
 *
 * @param tasks called again and again; they dispose of what they make.
 * @param rounds how often each has its turn, after one to warm up.
 * @param each how often it runs in a turn; one run's time is what counts.
 * @param warmUpMs how long it runs at least in its first turn: until the JavaScript around a kernel is compiled, which takes
 *   hundreds of calls, it costs a fifth of a millisecond.
 */
export async function measure(
  tasks: {readonly [name: string]: () => void | Promise<void>},
  rounds: number,
  each = 3,
  warmUpMs = 300,
): Promise<{[name: string]: number}> {
  const samples = new Map<string, number[]>(Object.keys(tasks).map(name => [name, []]));
  for (let round = 0; round <= rounds; round++) {
    const time = round === 0 ? warmUpMs : 0;
    const bench = new Bench({time, iterations: each, warmup: false, retainSamples: true, throws: true});
    for (const [name, task] of Object.entries(tasks)) bench.add(name, task);
    for (const {name, result} of await bench.run()) {
      if (result.state === 'completed' && round > 0) {
        samples.get(name)!.push(...(result.latency.samples ?? []));
      }
    }
  }
  return Object.fromEntries([...samples].map(([name, times]) => [name, median(times)]));
}
