
    var<workgroup> largest : array<f32, 256>;
    var<workgroup> places : array<i32, 256>;
    var<workgroup> factors : array<f32, 256>;

    fn main() {
      let local = i32(localIndex);
      let head = i32(workgroupId.x);
      let tokens = uniforms.tokens;
      let dim = uniforms.dim;
      let z = head * tokens * dim;
      let a = (uniforms.heads * tokens + head * dim) * dim;
      for (var i = local; i < tokens * dim; i += 256) { result[z + i] = f32(x[z + i]); }
      for (var i = local; i < dim * dim; i += 256) { result[a + i] = f32(basis[head * dim * dim + i]); }
      storageBarrier();
      workgroupBarrier();

      for (var k = 0; k < dim; k++) {
        // the column from k on with the largest number in row k
        let own = k + local;
        largest[local] = select(-1.0, abs(result[a + k * dim + min(own, dim - 1)]), own < dim);
        places[local] = own;
        workgroupBarrier();
        for (var half = 128; half > 0; half /= 2) {
          if (local < half && largest[local + half] > largest[local]) {
            largest[local] = largest[local + half];
            places[local] = places[local + half];
          }
          workgroupBarrier();
        }
        let pivot = places[0];
        if (local < dim) {
          // of column k the numbers that are at the pivot, and the other way round
          let at = select(local, k, local == pivot);
          factors[local] = select(0.0, result[a + k * dim + at] / result[a + k * dim + pivot], local > k);
        }
        storageBarrier();
        workgroupBarrier();
        for (var i = local; i < dim - k + tokens; i += 256) {
          let row = select(z + (i - dim + k) * dim, a + (k + i) * dim, i < dim - k);
          let number = result[row + pivot];
          result[row + pivot] = result[row + k];
          result[row + k] = number;
          for (var j = k + 1; j < dim; j++) { result[row + j] -= factors[j] * number; }
        }
        storageBarrier();
        workgroupBarrier();
      }
      for (var token = local; token < tokens; token += 256) {
        let row = z + token * dim;
        for (var k = dim - 1; k >= 0; k--) {
          var sum = result[row + k];
          for (var i = k + 1; i < dim; i++) { sum -= result[row + i] * result[a + i * dim + k]; }
          result[row + k] = sum / result[a + k * dim + k];
        }
      }
    }