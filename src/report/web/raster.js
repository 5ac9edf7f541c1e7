// Heatmap cells as an image: one pixel a cell, enlarged without smoothing.

const rgbOf = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

// So many steps of colour are more than an eye tells apart.
export const STEPS = 256;

/** A ramp of colours as STEPS times four bytes. */
const bytesOf = (ramp) => {
  const stops = ramp.map(rgbOf);
  const bytes = new Uint8ClampedArray(4 * STEPS);
  for (let i = 0; i < STEPS; ++i) {
    const at = (i / (STEPS - 1)) * (stops.length - 1);
    const low = Math.min(Math.floor(at), stops.length - 2);
    const mixed = stops[low].map((part, c) => part + (stops[low + 1][c] - part) * (at - low));
    bytes.set([...mixed.map(Math.round), 255], 4 * i);
  }
  return bytes;
};

const stepAt = (share) => Math.max(0, Math.min(STEPS - 1, Math.round(share * (STEPS - 1))));

const rgbAt = (ramp, share) => bytesOf(ramp).subarray(4 * stepAt(share), 4 * stepAt(share) + 3);

/** The colour at `share` (0 to 1) of a ramp, as CSS text. */
export const colourAt = (ramp, share) => `rgb(${rgbAt(ramp, share).join(" ")})`;

/** Black or white, whichever is read better on it (by luma, ITU-R BT.601). */
export const inkAt = (ramp, share) => {
  const [r, g, b] = rgbAt(ramp, share);
  return 0.299 * r + 0.587 * g + 0.114 * b > 140 ? "#000000" : "#ffffff";
};

const canvasOf = (width, height) => Object.assign(document.createElement("canvas"), {width, height});

/**
 * Red, green, blue and opacity of columns x rows pixels. matrixAt(column, row) is a matrix or -1,
 * which stays clear; shareOf(value) is where its value lies in the range of colours, NaN for the
 * colour `missing`.
 */
export const cellPixels = (columns, rows, matrixAt, values, shareOf, ramp, missing) => {
  // Pixels of 32 bits, in this machine's byte order.
  const pixels = new Uint32Array(columns * rows);
  const colours = new Uint32Array(bytesOf(ramp).buffer);
  const blank = new Uint32Array(new Uint8ClampedArray([...rgbOf(missing), 255]).buffer)[0];
  for (let y = 0; y < rows; ++y) {
    for (let x = 0; x < columns; ++x) {
      const matrix = matrixAt(x, y);
      if (matrix < 0) continue;
      const share = shareOf(values[matrix]);
      pixels[y * columns + x] = share === share ? colours[stepAt(share)] : blank;
    }
  }
  return new Uint8ClampedArray(pixels.buffer);
};

/** cellPixels() as a canvas. */
export const cellImage = (columns, rows, matrixAt, values, shareOf, ramp, missing) => {
  const canvas = canvasOf(columns, rows);
  const pixels = cellPixels(columns, rows, matrixAt, values, shareOf, ramp, missing);
  canvas.getContext("2d").putImageData(new ImageData(pixels, columns, rows), 0, 0);
  return canvas;
};

// Cells at least so large, in pixels of the page, are set apart by a line.
const GAP_FROM = 7;

const clearBetween = (context, columns, rows, line) => {
  const {width, height} = context.canvas;
  for (let i = 1; i < columns; ++i) {
    context.clearRect(Math.round((i * width) / columns) - line, 0, line, height);
  }
  for (let i = 1; i < rows; ++i) {
    context.clearRect(0, Math.round((i * height) / rows) - line, width, line);
  }
};

/** The part `view` of a cell image, as large as it is shown: width x height pixels of the page. */
export const enlarged = (cells, view, width, height, ratio) => {
  const canvas = canvasOf(Math.max(1, Math.round(width * ratio)), Math.max(1, Math.round(height * ratio)));
  const context = canvas.getContext("2d");
  const columns = view.x[1] - view.x[0] + 1,
    rows = view.y[1] - view.y[0] + 1;
  context.imageSmoothingEnabled = false;
  context.drawImage(cells, view.x[0], view.y[0], columns, rows, 0, 0, canvas.width, canvas.height);
  if (width / columns >= GAP_FROM && height / rows >= GAP_FROM) {
    clearBetween(context, columns, rows, Math.max(1, Math.round(ratio)));
  }
  return canvas;
};
