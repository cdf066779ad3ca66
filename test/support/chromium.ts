import {existsSync} from 'node:fs';

/** Usual paths of Chromium. */
const usualPlaces = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
];

/** The path of Chromium: that of CHROMIUM=PATH, or a usual one. */
export const chromiumPath = [process.env['CHROMIUM'] ?? '', ...usualPlaces].find(path => existsSync(path));

/** The message if there is none. */
export const noChromium = `skipped, no Chromium at ${usualPlaces.join(', ')} (or give CHROMIUM=PATH).`;

/** Switches for headless tests: no sandbox, since they may run as root, and WebGPU on the software adapter. */
export const chromiumSwitches = [
  '--no-sandbox',
  '--enable-unsafe-webgpu',
  '--use-webgpu-adapter=swiftshader',
];

/** Milliseconds that one browser action may take on a busy machine; below the limit of a whole test. */
export const patience = 300_000;
