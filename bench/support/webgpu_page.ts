import '@tensorflow/tfjs-backend-webgpu'; // in a page it is imported by its name, or not found
import {useBackend} from '../../ops/backends/use_backend.js';
import type {WebgpuFeature} from '../../ops/backends/webgpu_features.js';
import {attentionReport, type Report} from './webgpu_report.js';

// The page that webgpu_chromium.ts opens.

declare global {
  /** Given by webgpu_chromium.ts; test/ops/webgpu/browser/page.ts declares the same names. */
  interface Window {
    reportEnd: (report: Omit<Report, 'tokens'>) => Promise<void>;
    reportLine: (line: string) => Promise<void>;
  }
}

const listed = (name: string): string[] =>
  new URLSearchParams(location.search)
    .get(name)!
    .split(',')
    .filter(each => each !== '');
await useBackend('webgpu', {features: listed('features') as WebgpuFeature[]});
const lengths = listed('tokens').map(Number);
await window.reportEnd(await attentionReport(lengths, line => void window.reportLine(line)));
