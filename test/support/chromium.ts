import {existsSync} from 'node:fs';

/** Where systems put a Chromium. */
const usualPlaces = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
];

/** A Chromium of this machine: the one that CHROMIUM=PATH names, else one in a usual place. */
export const chromiumPath = [process.env['CHROMIUM'] ?? '', ...usualPlaces].find(path => existsSync(path));

/** Said where there is none. */
export const noChromium = `skipped, no Chromium at ${usualPlaces.join(', ')} (or give CHROMIUM=PATH).`;

/** Switches for headless tests: no sandbox, since they may run as root, and WebGPU on the software adapter. */
export const chromiumSwitches = [
  '--no-sandbox',
  '--enable-unsafe-webgpu',
  '--use-webgpu-adapter=swiftshader',
];

/** Milliseconds that a browser may take for one thing, on a machine that does much else; below the limit of a whole test. */
export const patience = 300_000;
