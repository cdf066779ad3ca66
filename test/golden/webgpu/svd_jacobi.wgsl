
    var<workgroup> parts : array<f32, 256>;
    var<workgroup> products : array<vec4<f32>, 256>;
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
      let isTall = uniforms.rows >= uniforms.columns;
      let count = min(uniforms.rows, uniforms.columns);
      let length = max(uniforms.rows, uniforms.columns);
      let even = count + count % 2;
      let width = length + count + 2;
      let source = matrix * count * length;
      let start = matrix * (even + 1) * width;
      let state = start + even * width;
      let rounds = even - 1;

      // numbers that are not finite count as infinite
      var largest = 0.0;
      for (var i = local; i < count * length; i += 256) {
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

      for (var i = local; i < even * width && uniforms.begin == 0; i += 256) {
        let row = i / width;
        let column = i % width;
        var number = 0.0;
        if (row < count && column < length && !isBad) {
          number = f32(x[source + select(row * length + column, column * count + row, isTall)]) * scale.y;
        }
        result[start + i] = select(number, 1.0, column == length + row && row < count);
      }
      storageBarrier();
      workgroupBarrier();

      let pairs = even / 2;
      var lanes = 1;
      while (lanes * 2 * pairs <= 256) { lanes *= 2; }
      let own = local / lanes;
      let lane = local % lanes;

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
        var pair = vec2(0, 0);
        var sums = vec4(0.0);
        if (own < pairs) {
          pair = start + pairOf(own, round, even) * width;
          for (var i = lane; i < length; i += lanes) {
            let p = result[pair.x + i];
            let q = result[pair.y + i];
            sums += vec4(p * p, q * q, p * q, 0.0);
          }
        }
        products[local] = sums;
        workgroupBarrier();
        if (own < pairs) {
          sums = vec4(0.0);
          for (var i = own * lanes; i < (own + 1) * lanes; i++) { sums += products[i]; }
          // the product of rows of rounding errors is one as well
          if (abs(sums.z) > 2e-7 * sqrt(sums.x) * sqrt(sums.y) && min(sums.x, sums.y) > 1e-30) {
            let rotation = rotationFor(sums.x, sums.y, sums.z);
            for (var i = lane; i < length + count; i += lanes) {
              let turned = turn(vec2(result[pair.x + i], result[pair.y + i]), rotation);
              result[pair.x + i] = turned.x;
              result[pair.y + i] = turned.y;
            }
            atomicStore(&turns, 1u);
          }
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
      for (var row = local; row < count; row += 256) {
        let at = start + row * width;
        var most = 0.0;
        for (var i = 0; i < length; i++) { most = max(most, abs(result[at + i])); }
        let unit = powerBelow(most);
        var sum = 0.0;
        for (var i = 0; i < length; i++) { sum += (result[at + i] * unit.y) * (result[at + i] * unit.y); }
        let size = sqrt(sum) * unit.x;
        result[at + width - 2] = select(size, notANumber(), isBad);
        result[at + width - 1] = select(size * scale.x, notANumber(), isBad);
      }
    }