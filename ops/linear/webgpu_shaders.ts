import {integers, workgroupSize, type Shader} from '../backends/webgpu_programs.js';
import type {WeightFormat} from '../weights/formats.js';
import {quadsOfRecord, sidesOfRecord, weightsFunction} from '../weights/webgpu.js';

/** What the text of a product's shader depends on. */
export interface ProductConstants {
  readonly format: WeightFormat;
  /** Whether rows of x are a multiple of four numbers, so that they are read by vectors. */
  readonly inputsByFours: boolean;
  /** Whether the matrix is read by vectors: records always, float32 if its outputs are a multiple of four. */
  readonly matrixByFours: boolean;
  readonly bias: boolean;
  readonly residual: boolean;
  /** Whether the sum is multiplied by silu(gate), number by number. */
  readonly gate: boolean;
}

type ProductUniform = 'rows' | 'inputs' | 'outputs' | 'blocks' | 'firstGroup';

const uniforms = integers('rows', 'inputs', 'outputs', 'blocks', 'firstGroup');

/** Rows of x that a workgroup of `fewRowsShader` multiplies, if there is more than one. */
export const fewRowsAtOnce = 4;

/** Rows of x that a workgroup of `manyRowsShader` multiplies. */
export type ManyRows = 32 | 64;

/** Outputs of a workgroup of `manyRowsShader`. */
export const manyOutputs = 32;

const vectors = ({inputsByFours, matrixByFours}: ProductConstants) => [
  ...(matrixByFours ? ['matrix'] : []),
  ...(inputsByFours ? ['x'] : []),
];

/**
 * A few rows times a matrix: a workgroup reads the weights of a group of eight outputs once for its rows. Eight invocations share a
 * block, four inputs each, and eight blocks are read at a time; the sums of the invocations are added in workgroup memory.
 */
export const fewRowsShader: Shader<ProductConstants & {rows: 1 | typeof fewRowsAtOnce}, ProductUniform> = {
  name: 'LinearFewRows',
  uniforms,
  vectors,
  code: constants => {
    const {rows} = constants;
    const type = rows === 1 ? 'vec4<f32>' : `mat${rows}x4<f32>`; // a column for each row, its rows the inputs, or four outputs
    const blocksAtOnce = workgroupSize / quadsOfRecord;
    const inputs = Array.from(
      {length: rows},
      (_, row) => `fourInputs(firstRow${row === 0 ? '' : ` + ${row}`}, input)`,
    );
    return `
    ${sharedFunctions(constants)}
    var<workgroup> sums : array<${type}, ${2 * workgroupSize}>;

    fn main() {
      let local = i32(localIndex);
      let group = i32(workgroupId.x);
      let firstRow = i32(workgroupId.y) * ${rows};
      let quad = local % ${quadsOfRecord};
      var low = ${type}();
      var high = ${type}();
      for (var block = local / ${quadsOfRecord}; block < uniforms.blocks; block += ${blocksAtOnce}) {
        let input = 32 * block + 4 * quad;
        let numbers = ${type}(${inputs.join(', ')});
        low += weights(group, block, quad, 0) * numbers;
        high += weights(group, block, quad, 1) * numbers;
      }
      sums[local] = low;
      sums[${workgroupSize} + local] = high;
      workgroupBarrier();
      for (var half = ${workgroupSize / 2}; half > 0; half /= 2) {
        if (local < half) {
          sums[local] += sums[local + half];
          sums[${workgroupSize} + local] += sums[${workgroupSize} + local + half];
        }
        workgroupBarrier();
      }
      if (local < ${8 * rows}) {
        let side = local / 4 % 2;
        let row = local / 8;
        store(firstRow + row, 8 * (uniforms.firstGroup + group) + local % 8, sums[side * ${workgroupSize}]${rows === 1 ? '' : '[row]'}[local % 4]);
      }
    }`;
  },
};

/**
 * Many rows times a matrix: a workgroup unpacks the weights of a block and 32 outputs to workgroup memory and multiplies them by 32 or
 * 64 rows; an invocation computes four or eight rows of four outputs.
 */
export const manyRowsShader: Shader<ProductConstants & {rows: ManyRows}, ProductUniform> = {
  name: 'LinearManyRows',
  uniforms,
  vectors,
  code: constants => {
    const {rows} = constants;
    const fours = manyOutputs / 4;
    const stride = quadsOfRecord + 1; // odd, so that rows begin in different banks of the memory
    const four = (first: number) =>
      [0, 8, 16, 24].map(i => `rowTile[(row + ${first + i}) * ${stride} + quad]`).join(', ');
    const firstRows = rows === 32 ? [0] : [0, 32];
    return `
    ${sharedFunctions(constants)}
    var<workgroup> weightTile : array<vec4<f32>, ${32 * fours}>;
    var<workgroup> rowTile : array<vec4<f32>, ${rows * stride}>;

    fn main() {
      let local = i32(localIndex);
      let firstGroup = i32(workgroupId.x) * ${fours / sidesOfRecord};
      let firstRow = i32(workgroupId.y) * ${rows};
      let column = local % ${fours};
      let row = local / ${fours};
      let ownQuad = local / ${fours};
      ${firstRows.map(first => `var sums${first} = mat4x4<f32>();`).join(' ')}
      for (var block = 0; block < uniforms.blocks; block++) {
        let own = weights(firstGroup + column / 2, block, ownQuad, column % 2);
        let to = 4 * ownQuad * ${fours} + column;
        weightTile[to] = own[0];
        weightTile[to + ${fours}] = own[1];
        weightTile[to + ${2 * fours}] = own[2];
        weightTile[to + ${3 * fours}] = own[3];
        for (var i = local; i < ${rows * quadsOfRecord}; i += ${workgroupSize}) {
          let quad = i % ${quadsOfRecord};
          rowTile[i / ${quadsOfRecord} * ${stride} + quad] = fourInputs(firstRow + i / ${quadsOfRecord}, 32 * block + 4 * quad);
        }
        workgroupBarrier();
        for (var quad = 0; quad < ${quadsOfRecord}; quad++) {
          let at = 4 * quad * ${fours} + column;
          let tile = mat4x4<f32>(weightTile[at], weightTile[at + ${fours}], weightTile[at + ${2 * fours}], weightTile[at + ${3 * fours}]);
          ${firstRows.map(first => `sums${first} += tile * mat4x4<f32>(${four(first)});`).join('\n          ')}
        }
        workgroupBarrier();
      }
      let output = 8 * (uniforms.firstGroup + firstGroup) + 4 * column;
      for (var i = 0; i < 4; i++) {
        for (var j = 0; j < 4; j++) {
          ${firstRows.map(first => `store(firstRow + row + ${first} + 8 * i, output + j, sums${first}[i][j]);`).join('\n          ')}
        }
      }
    }`;
  },
};

/** `weights`; `fourInputs`, numbers of a row of x, zeros beyond its end; `store`. */
function sharedFunctions(constants: ProductConstants): string {
  const {format, inputsByFours, matrixByFours, bias, residual, gate} = constants;
  const sum = `sum${bias ? ' + f32(bias[output])' : ''}${residual ? ' + f32(residual[at])' : ''}`;
  return `
    ${weightsFunction(format, matrixByFours)}
    ${inputsByFours ? fourInputsByVector : fourInputsByNumber}
    ${gate ? silu : ''}
    fn store(row : i32, output : i32, sum : f32) {
      if (row >= uniforms.rows || output >= uniforms.outputs) { return; }
      let at = row * uniforms.outputs + output;
      result[at] = ${gate ? `silu(gate[at]) * (${sum})` : sum};
    }
`;
}

/** Below -87, where e^-x overflows, silu is no normal number. */
const silu = `
    fn silu(x : f32) -> f32 {
      return select(x / (1.0 + exp(-max(x, -87.0))), 0.0, x < -87.0);
    }
`;

const fourInputsByVector = `
    fn fourInputs(row : i32, input : i32) -> vec4<f32> {
      if (row >= uniforms.rows || input >= uniforms.inputs) { return vec4<f32>(0.0); }
      return vec4<f32>(x[(row * uniforms.inputs + input) / 4]);
    }
`;

const fourInputsByNumber = `
    fn fourInputs(row : i32, input : i32) -> vec4<f32> {
      var numbers = vec4<f32>(0.0);
      if (row >= uniforms.rows) { return numbers; }
      for (var i = 0; i < 4; i++) {
        if (input + i < uniforms.inputs) { numbers[i] = f32(x[row * uniforms.inputs + input + i]); }
      }
      return numbers;
    }
`;
