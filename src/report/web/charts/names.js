// Where names go beside their points so that they cover neither each other nor a point.

// Of names in FONT_SIZE, bold.
export const FONT_SIZE = 12;
const LINE_HEIGHT = 15,
  LETTER_WIDTH = 7.7;

const overlap = (a, b) => a.left < b.right && b.left < a.right && Math.abs(a.y - b.y) < LINE_HEIGHT;

/** Moves a box up or down until it is clear of the others. */
const cleared = (box, others, step) => {
  let moved = box;
  while (others.some((other) => overlap(moved, other))) moved = {...moved, y: moved.y + step};
  return moved;
};

/**
 * Where names go, in pixels from their points. Below and left of the best trade-offs nothing can
 * be, so there stand their names, right of them if there is no room; the others' stand above their
 * strokes. `reach` is how far a scheme's points lie around it; names end at {left, right, bottom}.
 */
export const nameOffsets = (schemes, pixelOf, reach, {left, right, bottom}) => {
  const placed = schemes.map(pixelOf).map(({x, y}) => ({left: x - reach + 4, right: x + reach - 4, y}));
  const put = (p) => {
    const {x, y, top} = pixelOf(p);
    const width = p.label.length * LETTER_WIDTH;
    const lowest = bottom - LINE_HEIGHT / 2;
    const besideIt = {left: x - reach - width, right: x - reach, y: Math.min(y + LINE_HEIGHT / 2, lowest)};
    const below = cleared(besideIt, placed, 1);
    const isBelow = p.onFront && below.left > left && below.y <= lowest;
    const [beside, height] = p.onFront ? [x + reach, y] : [x - reach, top];
    const from = Math.min(beside, right - width);
    const box = isBelow
      ? below
      : cleared({left: from, right: from + width, y: height - LINE_HEIGHT / 2}, placed, -1);
    placed.push(box);
    return isBelow
      ? {align: "right", offset: [box.right - x, box.y - y]}
      : {align: "left", offset: [box.left - x, box.y - y]};
  };
  const order = schemes
    .map((p, i) => i)
    .sort((a, b) => schemes[b].onFront - schemes[a].onFront || schemes[a].bits - schemes[b].bits);
  const offsets = [];
  for (const i of order) offsets[i] = put(schemes[i]);
  return offsets;
};
