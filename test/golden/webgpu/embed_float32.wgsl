
    
    fn main(index : i32) {
      if (index >= uniforms.size) { return; }
      let fours = (uniforms.dim + 3) / 4;
      let token = index / fours;
      let channel = index % fours * 4;
      let row = ids[token] - uniforms.firstRow;
      let isHere = row >= 0 && row < uniforms.rows;
      if (!isHere && uniforms.firstRow > 0) { return; }
      let here = select(0, row, isHere);
      
      for (var j = 0; j < 4; j++) {
        if (channel + j < uniforms.dim) {
          let number = matrix[here * uniforms.dim + channel + j];
          result[token * uniforms.dim + channel + j] = select(0.0, number, isHere);
        }
      }
    }