
    var<workgroup> order : array<i32, 512>;
    var<workgroup> signs : array<f32, 512>;
    var<workgroup> along : array<f32, 512>;
    var<workgroup> parts : array<f32, 256>;
    var<workgroup> axes : array<i32, 256>;
    var<workgroup> zeros : atomic<u32>;
    var<workgroup> zerosOfAll : u32;
    
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

    fn leadingSign(first : i32, size : i32) -> f32 {
      var largest = 0.0;
      for (var i = 0; i < size; i++) { largest = max(largest, abs(f32(turned[first + i]))); }
      var leading = 0;
      while (leading < size - 1 && abs(f32(turned[first + leading])) < largest * 0.99999) { leading++; }
      return select(1.0, -1.0, f32(turned[first + leading]) < 0.0);
    }

    fn main() {
      let local = i32(localIndex);
      let matrix = i32(workgroupId.x);
      let isTall = uniforms.rows >= uniforms.columns;
      let count = min(uniforms.rows, uniforms.columns);
      let length = max(uniforms.rows, uniforms.columns);
      let width = length + count + 2;
      let start = matrix * (count + count % 2 + 1) * width;
      let outWidth = uniforms.rows + 1 + uniforms.columns;
      let out = matrix * count * outWidth;
      let isBad = !isFinite(f32(turned[start + width - 2]));

      for (var i = local; i < count; i += 256) {
        let size = f32(turned[start + i * width + width - 2]);
        var place = select(0, i, isBad);
        for (var j = 0; j < count && !isBad; j++) {
          let other = f32(turned[start + j * width + width - 2]);
          if (other > size || (other == size && j < i)) { place++; }
        }
        order[place] = i;
        signs[place] = leadingSign(start + i * width + select(0, length, isTall), uniforms.columns);
        if (size <= 1e-15) { atomicAdd(&zeros, 1u); }
      }
      workgroupBarrier();
      if (local == 0) { zerosOfAll = atomicLoad(&zeros); }
      let first = count - i32(workgroupUniformLoad(&zerosOfAll));

      for (var at = local; at < count * outWidth; at += 256) {
        let place = at / outWidth;
        let column = at % outWidth;
        let row = start + order[place] * width;
        let size = f32(turned[row + width - 2]);
        var number = f32(turned[row + width - 1]);
        if (column != uniforms.rows) {
          let isU = column < uniforms.rows;
          let component = select(column - uniforms.rows - 1, column, isU);
          let isLong = isU == isTall;
          number = signs[place] * f32(turned[row + select(length, 0, isLong) + component]);
          if (isLong) { number = select(number / size, 0.0, place >= first); }
        }
        result[out + at] = select(number, notANumber(), isBad);
      }
      storageBarrier();
      workgroupBarrier();

      let long = out + select(uniforms.rows + 1, 0, isTall);
      for (var place = first; place < count; place++) {
        // the axis of which the least lies along the vectors before
        var least = 2.0;
        var axis = 0;
        for (var i = local; i < length; i += 256) {
          var within = 0.0;
          for (var j = 0; j < place; j++) {
            let component = result[long + j * outWidth + i];
            within += component * component;
          }
          if (within < least) { least = within; axis = i; }
        }
        parts[local] = least;
        axes[local] = axis;
        workgroupBarrier();
        for (var half = 128; half > 0; half /= 2) {
          if (local < half && parts[local + half] < parts[local]) {
            parts[local] = parts[local + half];
            axes[local] = axes[local + half];
          }
          workgroupBarrier();
        }
        axis = axes[0];
        let own = long + place * outWidth;
        for (var i = local; i < length; i += 256) { result[own + i] = select(0.0, 1.0, i == axis); }
        storageBarrier();
        workgroupBarrier();
        for (var time = 0; time < 3; time++) {
          for (var j = local; j < place; j += 256) {
            var sum = 0.0;
            for (var i = 0; i < length; i++) { sum += result[own + i] * result[long + j * outWidth + i]; }
            along[j] = sum;
          }
          workgroupBarrier();
          var sum = 0.0;
          for (var i = local; i < length; i += 256) {
            var number = result[own + i];
            for (var j = 0; j < place; j++) { number -= along[j] * result[long + j * outWidth + i]; }
            result[own + i] = number;
            sum += number * number;
          }
          parts[local] = sum;
          workgroupBarrier();
          for (var half = 128; half > 0; half /= 2) {
            if (local < half) { parts[local] += parts[local + half]; }
            workgroupBarrier();
          }
          let size = sqrt(parts[0]);
          for (var i = local; i < length; i += 256) { result[own + i] /= size; }
          storageBarrier();
          workgroupBarrier();
        }
        if (!isTall) {
          if (local == 0) {
            var largest = 0.0;
            for (var i = 0; i < length; i++) { largest = max(largest, abs(result[own + i])); }
            var leading = 0;
            while (abs(result[own + leading]) < largest * 0.99999) { leading++; }
            signs[place] = select(1.0, -1.0, result[own + leading] < 0.0);
          }
          workgroupBarrier();
          for (var i = local; i < length; i += 256) { result[own + i] *= signs[place]; }
          storageBarrier();
          workgroupBarrier();
        }
      }
    }