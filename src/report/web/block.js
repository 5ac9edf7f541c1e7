// Columns as they stand in the page (src/report/page_data.h says how), decoded.

const fromBase64 = (text) => {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; ++i) bytes[i] = raw.charCodeAt(i);
  return bytes;
};

/** The bytes that a block's text stands for. */
export const inflate = async (text) => {
  const deflated = new Blob([fromBase64(text)]).stream();
  const stream = deflated.pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
};

// Powers of ten up to here are exact, and so are products and quotients by them, rounded once.
const EXACT_POWERS = Array.from({length: 23}, (_, e) => Number(`1e${e}`));

/** mantissa * 10^exponent, rounded correctly. */
const decimal = (mantissa, exponent) => {
  if (exponent > 22 || exponent < -22) return Number(`${mantissa}e${exponent}`);
  return exponent < 0 ? mantissa / EXACT_POWERS[-exponent] : mantissa * EXACT_POWERS[exponent];
};

const fiveDigits = (k) => {
  if (k === 0) return 0;
  const code = Math.abs(k) - 1;
  const exponent = Math.floor(code / 90000) - 400;
  return Math.sign(k) * decimal(10000 + (code % 90000), exponent);
};

const unpack = ({kind, base}, u) => {
  if (u === 0) return NaN;
  return kind === "number" ? fiveDigits(u - 1 + base) : u - 1 + base;
};

/** All values of an inflated block: a Float64Array with NaN for null. */
export const decodeBlock = (block, planes, length) => {
  const values = new Float64Array(length);
  for (let p = block.planes - 1; p >= 0; --p) {
    for (let i = 0, at = p * length; i < length; ++i, ++at) values[i] = values[i] * 256 + planes[at];
  }
  for (let i = 0; i < length; ++i) values[i] = unpack(block, values[i]);
  return values;
};

/** The value of matrix i alone. */
export const valueInBlock = (block, planes, length, i) => {
  let u = 0;
  for (let p = block.planes - 1; p >= 0; --p) u = u * 256 + planes[p * length + i];
  return unpack(block, u);
};
