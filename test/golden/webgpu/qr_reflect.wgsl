
    var<workgroup> parts : array<f32, 256>;
    
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

    // x -= 2 v (v . x)
    fn reflect(x : i32, v : i32, first : i32) {
      var sum = 0.0;
      for (var i = first; i < uniforms.rows; i++) { sum += result[x + i] * result[v + i]; }
      for (var i = first; i < uniforms.rows; i++) { result[x + i] -= 2.0 * sum * result[v + i]; }
    }

    fn main() {
      let local = i32(localIndex);
      let matrix = i32(workgroupId.x);
      let rows = uniforms.rows;
      let columns = uniforms.columns;
      let count = min(rows, columns);
      let source = matrix * rows * columns;
      let start = matrix * (columns + count) * rows;
      let q = start + columns * rows;

      // 1 where a number is not finite
      var largest = 0.0;
      for (var i = local; i < rows * columns; i += 256) {
        largest = max(largest, select(1.0, 0.0, isFinite(f32(x[source + i]))));
      }
      parts[local] = largest;
      workgroupBarrier();
      for (var half = 128; half > 0; half /= 2) {
        if (local < half) { parts[local] = max(parts[local], parts[local + half]); }
        workgroupBarrier();
      }
      let isBad = parts[0] > 0.0;
      workgroupBarrier();
      for (var i = local; i < rows * columns && uniforms.begin == 0; i += 256) {
        result[start + i] = select(f32(x[source + (i % rows) * columns + i / rows]), 0.0, isBad);
      }
      storageBarrier();
      workgroupBarrier();

      for (var k = uniforms.begin; k < min(uniforms.until, count); k++) {
        let column = start + k * rows;
        let v = q + k * rows;
        largest = 0.0;
        for (var i = k + local; i < rows; i += 256) { largest = max(largest, abs(result[column + i])); }
        parts[local] = largest;
      workgroupBarrier();
      for (var half = 128; half > 0; half /= 2) {
        if (local < half) { parts[local] = max(parts[local], parts[local + half]); }
        workgroupBarrier();
      }
        let unit = powerBelow(parts[0]);
        workgroupBarrier();
        var sum = 0.0;
        for (var i = k + local; i < rows; i += 256) {
          let number = result[column + i] * unit.y;
          sum += number * number;
        }
        parts[local] = sum;
        workgroupBarrier();
        for (var half = 128; half > 0; half /= 2) {
          if (local < half) { parts[local] += parts[local + half]; }
          workgroupBarrier();
        }
        let size = sqrt(parts[0]);
        let first = result[column + k] * unit.y;
        let image = select(size, -size, first > 0.0);
        // |v|^2 = 2 size (size + |first|); nothing to reflect if that is zero
        let square = 2.0 * size * (size + abs(first));
        let factor = select(0.0, 1.0 / sqrt(square), square > 0.0);
        storageBarrier();
        workgroupBarrier();
        for (var i = local; i < rows; i += 256) {
          let number = result[column + i] * unit.y - select(0.0, image, i == k);
          result[v + i] = select(0.0, number * factor, i >= k);
          if (i >= k) { result[column + i] = select(0.0, image * unit.x, i == k); }
        }
        storageBarrier();
        workgroupBarrier();
        for (var j = k + 1 + local; j < columns; j += 256) { reflect(start + j * rows, v, k); }
        storageBarrier();
        workgroupBarrier();
      }
      // column k of Q is what all reflections to the k-th make of an axis
      for (var step = max(uniforms.begin, count); step < uniforms.until; step++) {
        let k = 2 * count - 1 - step;
        let v = q + k * rows;
        for (var j = k + 1 + local; j < count; j += 256) { reflect(q + j * rows, v, k); }
        storageBarrier();
        workgroupBarrier();
        let own = result[v + k];
        storageBarrier();
        workgroupBarrier();
        for (var i = k + local; i < rows; i += 256) {
          result[v + i] = select(0.0, 1.0, i == k) - 2.0 * own * result[v + i];
        }
        storageBarrier();
        workgroupBarrier();
      }
      if (local == 0 && isBad && uniforms.until == 2 * count) { result[start] = notANumber(); }
    }