
    var<workgroup> parts : array<f32, 256>;
    var<workgroup> rotations : array<vec2<f32>, 512>;
    var<workgroup> turns : atomic<u32>;
    var<workgroup> goesOn : u32;
    
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
    }

    fn main() {
      let local = i32(localIndex);
      let matrix = i32(workgroupId.x);
      let dim = uniforms.dim;
      let even = dim + dim % 2;
      let pairs = even / 2;
      let rounds = even - 1;
      let source = matrix * dim * dim;
      let a = matrix * (2 * even + 1) * even;
      let v = a + even * even;
      let state = v + even * even;

      // numbers that are not finite count as infinite
      var largest = 0.0;
      for (var i = local; i < dim * dim; i += 256) {
        let number = f32(x[source + i]);
        largest = max(largest, select(3.4e38, abs(number), isFinite(number)));
        if (!isFinite(number)) { atomicStore(&turns, 1u); }
      }
      parts[local] = largest;
      workgroupBarrier();
      for (var half = 128; half > 0; half /= 2) {
        if (local < half) { parts[local] = max(parts[local], parts[local + half]); }
        workgroupBarrier();
      }
      let scale = powerBelow(parts[0]);
      if (local == 0) { goesOn = atomicLoad(&turns); }
      let isBad = workgroupUniformLoad(&goesOn) == 1u;

      for (var i = local; i < even * even && uniforms.begin == 0; i += 256) {
        let row = i / even;
        let column = i % even;
        var number = 0.0;
        if (max(row, column) < dim && !isBad) {
          number = 0.5 * (f32(x[source + row * dim + column]) * scale.y + f32(x[source + column * dim + row]) * scale.y);
        }
        result[a + i] = number;
        result[v + i] = select(0.0, 1.0, row == column);
      }
      storageBarrier();
      workgroupBarrier();

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
        }
        for (var k = local; k < pairs; k += 256) {
          let pair = pairOf(k, round, even);
          let product = result[a + pair.x * even + pair.y];
          var rotation = vec2(0.0, 0.0);
          if (abs(product) > 2e-8) {
            rotation = rotationFor(result[a + pair.x * (even + 1)], result[a + pair.y * (even + 1)], product);
            atomicStore(&turns, 1u);
          }
          rotations[k] = rotation;
        }
        workgroupBarrier();
        for (var i = local; i < pairs * pairs; i += 256) {
          let first = i / pairs;
          let second = i % pairs;
          let left = rotations[first];
          let right = rotations[second];
          if (first > second || (left.x == 0.0 && right.x == 0.0)) { continue; }
          let rows = pairOf(first, round, even);
          let columns = pairOf(second, round, even);
          let pp = result[a + rows.x * even + columns.x];
          let pq = result[a + rows.x * even + columns.y];
          let qp = result[a + rows.y * even + columns.x];
          let qq = result[a + rows.y * even + columns.y];
          let leftColumn = turn(vec2(pp, qp), left);
          let rightColumn = turn(vec2(pq, qq), left);
          let upper = turn(vec2(leftColumn.x, rightColumn.x), right);
          let lower = turn(vec2(leftColumn.y, rightColumn.y), right);
          let isOwn = first == second;
          result[a + rows.x * even + columns.x] = upper.x;
          result[a + rows.y * even + columns.y] = lower.y;
          result[a + rows.x * even + columns.y] = select(upper.y, 0.0, isOwn);
          result[a + rows.y * even + columns.x] = select(lower.x, 0.0, isOwn);
          if (!isOwn) {
            result[a + columns.x * even + rows.x] = upper.x;
            result[a + columns.y * even + rows.x] = upper.y;
            result[a + columns.x * even + rows.y] = lower.x;
            result[a + columns.y * even + rows.y] = lower.y;
          }
        }
        for (var i = local; i < pairs * even; i += 256) {
          let rotation = rotations[i / even];
          if (rotation.x == 0.0) { continue; }
          let pair = pairOf(i / even, round, even);
          let column = i % even;
          let at = v + column;
          let turned = turn(vec2(result[at + pair.x * even], result[at + pair.y * even]), rotation);
          result[at + pair.x * even] = turned.x;
          result[at + pair.y * even] = turned.y;
        }
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
      }
      if (uniforms.until < uniforms.all) { return; }
      for (var i = local; i < even; i += 256) {
        result[a + i * (even + 1)] = select(result[a + i * (even + 1)] * scale.x, notANumber(), isBad);
      }
    }