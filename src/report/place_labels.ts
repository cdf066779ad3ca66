/** A point in pixels, and its label's text. */
export interface LabelledPoint {
  readonly x: number;
  readonly y: number;
  readonly text: string;
}

/** The centre of a label in pixels. */
export interface LabelPlace {
  readonly x: number;
  readonly y: number;
}

interface Box {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

/** Mean width of a letter of an 11 px sans-serif font in pixels, rounded up. */
const characterWidth = 6.6;
const lineHeight = 14;
const pointRadius = 5;

/**
 * Returns a place for each label beside its point, in the given order: the nearest of many candidates that overlaps no point, no label and
 * no edge of the chart. (Vega-Lite itself lets labels overlap.)
 */
export function placeLabels(points: readonly LabelledPoint[], width: number, height: number): LabelPlace[] {
  const taken: Box[] = points.map(({x, y}) => boxAround(x, y, 2 * pointRadius, 2 * pointRadius));
  return points.map(point => {
    const places = placesAround(point);
    const isFree = (place: LabelPlace) => {
      const box = labelBox(place, point.text);
      const inside = box.left >= 0 && box.right <= width && box.top >= 0 && box.bottom <= height;
      return inside && taken.every(other => !overlap(box, other));
    };
    const place = places.find(isFree) ?? places[0]!;
    taken.push(labelBox(place, point.text));
    return place;
  });
}

function placesAround({x, y, text}: LabelledPoint): LabelPlace[] {
  const places: LabelPlace[] = [];
  const half = (text.length * characterWidth) / 2;
  for (let distance = pointRadius + 3; distance < 160; distance += 8) {
    for (const rise of [0, -0.5, 0.5, -1, 1]) {
      const up = rise * distance;
      places.push({x: x + half + distance, y: y + up}, {x: x - half - distance, y: y + up});
    }
    const lift = distance + lineHeight / 2;
    places.push({x, y: y - lift}, {x, y: y + lift});
  }
  return places;
}

const labelBox = ({x, y}: LabelPlace, text: string) =>
  boxAround(x, y, text.length * characterWidth, lineHeight);

function boxAround(x: number, y: number, width: number, height: number): Box {
  return {left: x - width / 2, right: x + width / 2, top: y - height / 2, bottom: y + height / 2};
}

function overlap(a: Box, b: Box): boolean {
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
}
