// Heatmap cells as an image: one pixel a cell, enlarged without smoothing.

const hexToRgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

// So many steps of colour are more than an eye tells apart.
const STEPS = 256;

/** A ramp of colours as STEPS pixels of 32 bits, in the byte order that ImageData has here. */
const pixelsOf = (ramp) => {
  const stops = ramp.map(hexToRgb);
  const bytes = new Uint8ClampedArray(4 * STEPS);
  for (let i = 0; i < STEPS; ++i) {
    const at = (i / (STEPS - 1)) * (stops.length - 1);
    const low = Math.min(Math.floor(at), stops.length - 2);
    for (let c = 0; c < 3; ++c) {
      bytes[4 * i + c] = Math.round(stops[low][c] + (stops[low + 1][c] - stops[low][c]) * (at - low));
    }
    bytes[4 * i + 3] = 255;
  }
  return new Uint32Array(bytes.buffer);
};

const pixelOf = (hex) => new Uint32Array(new Uint8ClampedArray([...hexToRgb(hex), 255]).buffer)[0];

/** The colour at `share` (0 to 1) of a ramp, as CSS text. */
export const colourAt = (ramp, share) => {
  const step = Math.max(0, Math.min(STEPS - 1, Math.round(share * (STEPS - 1))));
  const [r, g, b] = new Uint8ClampedArray(pixelsOf(ramp).buffer, 4 * step, 3);
  return `rgb(${r} ${g} ${b})`;
};

/** Black or white, whichever is read better on `ramp` at `share`. */
export const inkAt = (ramp, share) => {
  const [r, g, b] = /rgb\((\d+) (\d+) (\d+)\)/.exec(colourAt(ramp, share)).slice(1).map(Number);
  return 0.299 * r + 0.587 * g + 0.114 * b > 140 ? "#000000" : "#ffffff";
};

const canvasOf = (width, height) => {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  return canvas;
};

/**
 * A canvas of columns x rows pixels. matrixAt(column, row) is a matrix or -1 (stays clear); shareOf(value) is
 * where its value lies in the range of colours: outside of 0 to 1, or NaN, gives the colour `missing`.
 */
export const cellImage = (columns, rows, matrixAt, values, shareOf, ramp, missing) => {
  const canvas = canvasOf(columns, rows);
  const image = new ImageData(columns, rows);
  const pixels = new Uint32Array(image.data.buffer);
  const colours = pixelsOf(ramp), blank = pixelOf(missing);
  for (let y = 0; y < rows; ++y) {
    for (let x = 0; x < columns; ++x) {
      const matrix = matrixAt(x, y);
      if (matrix < 0) continue;
      const share = shareOf(values[matrix]);
      pixels[y * columns + x] = share >= 0 && share <= 1 ? colours[Math.round(share * (STEPS - 1))] : blank;
    }
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
};

// Cells at least so large, in pixels of the page, are set apart by a line.
const GAP_FROM = 7;

const clearLines = (context, count, size, across, ratio) => {
  for (let i = 1; i < count; ++i) {
    const at = Math.round((i * size) / count) - ratio;
    if (across) context.clearRect(0, at, context.canvas.width, ratio);
    else context.clearRect(at, 0, ratio, context.canvas.height);
  }
};

/** The part `view` of a cell image, as large as it will be shown: width x height pixels of the page. */
export const enlarged = (cells, view, width, height, ratio) => {
  const canvas = canvasOf(Math.max(1, Math.round(width * ratio)), Math.max(1, Math.round(height * ratio)));
  const context = canvas.getContext("2d");
  const columns = view.x[1] - view.x[0] + 1, rows = view.y[1] - view.y[0] + 1;
  context.imageSmoothingEnabled = false;
  context.drawImage(cells, view.x[0], view.y[0], columns, rows, 0, 0, canvas.width, canvas.height);
  const line = Math.max(1, Math.round(ratio));
  if (width / columns >= GAP_FROM && height / rows >= GAP_FROM) {
    clearLines(context, columns, canvas.width, false, line);
    clearLines(context, rows, canvas.height, true, line);
  }
  return canvas;
};
