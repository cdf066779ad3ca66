import {createRequire} from 'node:module';
import {Resvg} from '@resvg/resvg-js';

/** A font of Arial's widths, from a package: system fonts differ, and charts would differ with them. */
const fontFiles = ['400Regular/Arimo_400Regular.ttf', '700Bold/Arimo_700Bold.ttf'].map(file =>
  createRequire(import.meta.url).resolve(`@expo-google-fonts/arimo/${file}`),
);

/** Pixels of the picture for one of the chart's: screens of high resolution show it sharp. */
const scale = 2;

/** A picture in a notebook, in base64, and the size at which it is shown. */
export interface NotebookPng {
  readonly data: string;
  readonly width: number;
  readonly height: number;
}

/** A chart as a picture. */
export function pngOf(svg: string): NotebookPng {
  const drawn = new Resvg(svg, {
    fitTo: {mode: 'zoom', value: scale},
    font: {
      fontFiles,
      loadSystemFonts: false,
      defaultFontFamily: 'Arimo',
      sansSerifFamily: 'Arimo',
    },
  }).render();
  return {
    data: drawn.asPng().toString('base64'),
    width: drawn.width / scale,
    height: drawn.height / scale,
  };
}
