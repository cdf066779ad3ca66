/** Invocations of a workgroup, which has a matrix. */
export const jacobiThreads = 256;

/** Jacobi takes six to nine, and some thirty where many singular values are rounding errors: those are turned until they are orthogonal, too. */
const mostSweeps = 60;

/** Of larger matrices a program takes some steps only: drivers end programs that run for seconds. */
const mostDimAtOnce = 256;
/** Numbers that it then works on, in all its steps together. */
const mostWork = 2 ** 27;

/** A run of steps. */
interface Steps {
  readonly begin: number;
  readonly until: number;
}

/** The programs of so many steps, each over so many numbers, for a matrix whose shorter side is `dim`. */
export function programsOf(steps: number, numbers: number, dim: number): Steps[] {
  const atOnce = dim <= mostDimAtOnce ? steps : Math.max(1, Math.floor(mostWork / numbers));
  return Array.from({length: Math.ceil(steps / atOnce)}, (_, index) => ({
    begin: index * atOnce,
    until: Math.min(steps, (index + 1) * atOnce),
  }));
}

/** The rounds of all sweeps over an even number of rows. */
export const roundsOf = (even: number): number => mostSweeps * (even - 1);

/**
 * WGSL around the rounds `uniforms.begin .. uniforms.until` of all sweeps, of which each has `rounds`. What one program leaves for the next is at
 * `state`: whether all is done, and whether the sweep under way has turned a pair.
 */
export const sweepsText = (round: string): string => `
      if (local == 0) {
        let isFirst = uniforms.begin == 0;
        goesOn = select(u32(result[state] == 0.0), 1u, isFirst);
        atomicStore(&turns, select(u32(result[state + 1]), 0u, isFirst));
      }
      var isGoing = workgroupUniformLoad(&goesOn) == 1u;
      for (var step = uniforms.begin; step < uniforms.until && isGoing; step++) {
        let round = step % rounds;
        if (round == 0) {
          if (local == 0) { atomicStore(&turns, 0u); }
          workgroupBarrier();
        }${round}
        storageBarrier();
        workgroupBarrier();
        if (round == rounds - 1) {
          if (local == 0) { goesOn = atomicLoad(&turns); }
          isGoing = workgroupUniformLoad(&goesOn) != 0u;
        }
      }
      if (local == 0) {
        result[state] = select(1.0, 0.0, isGoing);
        result[state + 1] = f32(atomicLoad(&turns));
      }`;

/** WGSL that both decompositions share: pairs of a round, rotations, scales. */
export const jacobiText = `
    // Of an even count: each of count - 1 rounds pairs all indices, and each two meet once (a round robin).
    fn pairOf(k : i32, round : i32, count : i32) -> vec2<i32> {
      let others = count - 1;
      let first = select((round + k) % others, others, k == 0);
      let second = (round + others - k) % others;
      return vec2(min(first, second), max(first, second));
    }

    // The rotation that makes the product of two directions with squares a and b zero: its sine, and sine / (1 + cosine). One step of
    // Newton's, since a driver may round an inverse root by some units, all in the same direction.
    fn rotationFor(a : f32, b : f32, product : f32) -> vec2<f32> {
      let ratio = (b - a) / (2.0 * product);
      let tangent = select(1.0, -1.0, ratio < 0.0) / (abs(ratio) + sqrt(1.0 + ratio * ratio));
      let square = 1.0 + tangent * tangent;
      let root = inverseSqrt(square);
      let cosine = root * (1.5 - 0.5 * square * root * root);
      let sine = cosine * tangent;
      return vec2(sine, sine / (1.0 + cosine));
    }

    // Both numbers turned (Rutishauser, 1966): small angles add small numbers, and hardly any rounding.
    fn turn(numbers : vec2<f32>, rotation : vec2<f32>) -> vec2<f32> {
      return vec2(
        numbers.x - rotation.x * (numbers.y + rotation.y * numbers.x),
        numbers.y + rotation.x * (numbers.x - rotation.y * numbers.y),
      );
    }

    // The power of two below a number that is not negative, and its inverse, both exact.
    fn powerBelow(number : f32) -> vec2<f32> {
      let bits = clamp(bitcast<u32>(number) & 0x7f800000u, 0x00800000u, 0x7e000000u);
      return vec2(bitcast<f32>(bits), bitcast<f32>(0x7f000000u - bits));
    }

    // By its bits: compilers may take it that no number is NaN.
    fn isFinite(number : f32) -> bool {
      return (bitcast<u32>(number) & 0x7f800000u) != 0x7f800000u;
    }

    fn notANumber() -> f32 {
      var bits = 0x7fc00000u;
      return bitcast<f32>(bits);
    }`;

/** All invocations together: the largest of their values, which is left in `parts[0]`. */
export const largestOfParts = `
      workgroupBarrier();
      for (var half = ${jacobiThreads / 2}; half > 0; half /= 2) {
        if (local < half) { parts[local] = max(parts[local], parts[local + half]); }
        workgroupBarrier();
      }`;

/** All invocations together: `scale`, that of a matrix of so many numbers from `x[source]` on, and `isBad`, whether one is not finite. */
export const scaleOfMatrix = (count: string): string => `
      // numbers that are not finite count as infinite
      var largest = 0.0;
      for (var i = local; i < ${count}; i += ${jacobiThreads}) {
        let number = f32(x[source + i]);
        largest = max(largest, select(3.4e38, abs(number), isFinite(number)));
        if (!isFinite(number)) { atomicStore(&turns, 1u); }
      }
      parts[local] = largest;${largestOfParts}
      let scale = powerBelow(parts[0]);
      if (local == 0) { goesOn = atomicLoad(&turns); }
      let isBad = workgroupUniformLoad(&goesOn) == 1u;`;
