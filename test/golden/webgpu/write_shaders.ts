/**
 * Writes the text of each shader beside this file: `npx tsx test/golden/webgpu/write_shaders.ts`. Run it where a shader was
 * changed on purpose and test/ops/webgpu passes on a WebGPU driver (docs/backends/webgpu.md); the difference is the review.
 */
import {writeFileSync} from 'node:fs';
import {shaderTexts} from '../../ops/webgpu/shader_texts.js';

for (const [name, text] of Object.entries(shaderTexts)) {
  writeFileSync(new URL(`${name}.wgsl`, import.meta.url), text);
}
