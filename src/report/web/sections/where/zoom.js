// Parts of a grid of cells: {x: [first, last], y: [first, last]}.

export const clamp = (value, low, high) => Math.max(low, Math.min(high, value));

export const sizeOf = ([first, last]) => last - first + 1;

export const isSameView = (a, b) => String([a?.x, a?.y]) === String([b?.x, b?.y]);

/** Whether a layer and slot lie in the view; null lies in every one. */
export const isInside = ({x, y}, {layer, slot}) =>
  (layer === null || (layer >= x[0] && layer <= x[1])) && (slot === null || (slot >= y[0] && slot <= y[1]));

/** The cells between two corners. */
export const boxOf = (a, b) => ({
  x: [Math.min(a[0], b[0]), Math.max(a[0], b[0])],
  y: [Math.min(a[1], b[1]), Math.max(a[1], b[1])],
});

/** `size` cells around `middle`, within `full`. */
const around = (middle, size, full) => {
  const first = clamp(Math.round(middle - (size - 1) / 2), full[0], full[1] - size + 1);
  return [first, first + size - 1];
};

// So many cells are left of the nearest view.
const NEAREST = 2;

const scaledRange = (range, factor, middle, full) => {
  const most = sizeOf(full);
  const size = clamp(Math.round(sizeOf(range) * factor), Math.min(NEAREST, most), most);
  return around(middle ?? (range[0] + range[1]) / 2, size, full);
};

/** `factor` times as many cells each way, around `cell` or the middle. */
export const scaledView = (view, factor, cell, full) => ({
  x: scaledRange(view.x, factor, cell?.[0], full.x),
  y: scaledRange(view.y, factor, cell?.[1], full.y),
});

const shifted = ([first, last], value) => {
  if (value < first) return [value, last - first + value];
  return value > last ? [first - last + value, value] : [first, last];
};

/** The view, moved so that it holds the cell. */
export const following = (view, [x, y]) => ({x: shifted(view.x, x), y: shifted(view.y, y)});
