import {characters, single} from '../../ops/backends/binary_text.js';

/** All bytes, the most frequent of a binary first, two hexadecimal digits each. */
export function rankedBytes(binary: Uint8Array): string {
  const counts = new Uint32Array(256);
  for (const byte of binary) counts[byte]!++;
  const ranked = [...counts.keys()].sort((a, b) => counts[b]! - counts[a]! || a - b);
  return Buffer.from(ranked).toString('hex');
}

/** What `textReader(ranked)` (ops/backends/binary_text.ts) reads. */
export function textOfBytes(bytes: Uint8Array, ranked: string): string {
  const order = [...Buffer.from(ranked, 'hex')];
  const texts = new Map(order.map((byte, rank) => [byte, textOfRank(rank)]));
  return Array.from(bytes, byte => texts.get(byte)!).join('');
}

function textOfRank(rank: number): string {
  if (rank < single) return characters[rank]!;
  const beyond = rank - single;
  return (
    characters[single + Math.floor(beyond / characters.length)]! + characters[beyond % characters.length]!
  );
}
