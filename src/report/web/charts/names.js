// Where names go beside their points so that they cover neither each other nor a point or its stroke.

// Of names in FONT_SIZE, bold.
export const FONT_SIZE = 12;
const LINE_HEIGHT = 15,
  LETTER_WIDTH = 7.7,
  PADDING = 6;

// No name goes further than this from where it begins to look for room.
const FURTHEST = 200;
// Pixels that a name is moved for, rather than to stand on its other side.
const OTHER_SIDE = 5;

const overlap = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
const lineAt = (left, width, middle) => ({
  left,
  right: left + width,
  top: middle - LINE_HEIGHT / 2,
  bottom: middle + LINE_HEIGHT / 2,
});

/** The points of a scheme, and the strokes above them. */
const drawnAt = ({x, y, top}, reach) => ({
  left: x - reach + 4,
  right: x + reach - 4,
  top: Math.min(top, y - LINE_HEIGHT / 2),
  bottom: y + LINE_HEIGHT / 2,
});

/**
 * Places for a name, [cost, box, align], of which the cheapest free one is taken. Below and left of the
 * best trade-offs nothing can be, so there their names begin to look for room; else right of them. The others
 * stand above their strokes, or right of them.
 */
const placesFor = ({x, y, top}, width, onFront, reach, {left, right, bottom}) => {
  const fromLeft = x - reach - width,
    fromRight = Math.min(x + reach, right - width),
    lowest = bottom - LINE_HEIGHT / 2;
  const above = Math.max(left, Math.min(x - reach, right - width));
  const places = [];
  for (let d = 0; d <= FURTHEST; ++d) {
    const below = Math.min(y + LINE_HEIGHT / 2, lowest) + d;
    if (onFront && fromLeft > left && below <= lowest) {
      places.push([d, lineAt(fromLeft, width, below), "right"]);
    }
    places.push([d + OTHER_SIDE, lineAt(fromRight, width, y - LINE_HEIGHT / 2 - d), "left"]);
    places.push([
      d + (onFront ? 2 * OTHER_SIDE : 0),
      lineAt(above, width, top - LINE_HEIGHT / 2 - d),
      "left",
    ]);
  }
  return places.sort((a, b) => a[0] - b[0]);
};

/**
 * Where names go, in pixels from their points. `reach` is how far a scheme's points lie around it; names
 * stay in {left, right, bottom}.
 */
export const nameOffsets = (schemes, pixelOf, reach, room) => {
  const taken = schemes.map((p) => drawnAt(pixelOf(p), reach));
  const put = (p) => {
    const at = pixelOf(p);
    const places = placesFor(at, p.label.length * LETTER_WIDTH + PADDING, p.onFront, reach, room);
    const isFree = ([, box]) => !taken.some((other) => overlap(box, other));
    const [, box, align] = places.filter(isFree)[0] ?? places[0];
    taken.push(box);
    const middle = (box.top + box.bottom) / 2;
    return {align, offset: [box[align] - at.x, middle - at.y]};
  };
  // Those that are not on the front have fewer places to go to.
  const order = schemes
    .map((p, i) => i)
    .sort((a, b) => schemes[a].onFront - schemes[b].onFront || schemes[a].bits - schemes[b].bits);
  const offsets = [];
  for (const i of order) offsets[i] = put(schemes[i]);
  return offsets;
};
