// How wide text is where no browser can tell: in em of DejaVu Sans, rather too much than too little.
const NARROW = /[ijlftI.,:;'|!()[\]/ -]/;
const CAPITAL = /[A-Z#$?]/;
const SQUARE_FROM = 0x2e80; // letters of East Asia
const isWide = (letter) => /[mwMW%@&+=<>…–≤≥]/.test(letter) || letter.charCodeAt(0) >= SQUARE_FROM;

const emOf = (letter) => {
  if (isWide(letter)) return 1;
  if (CAPITAL.test(letter)) return 0.79;
  return NARROW.test(letter) ? 0.4 : 0.64;
};

/** In pixels, of one line. */
export const textWidth = (text, size) => {
  let width = 0;
  for (let i = 0; i < text.length; ++i) width += emOf(text.charAt(i)) * size;
  return width;
};

/** `text`, or its ends if it is wider: names differ there. */
export const fitted = (text, size, width) => {
  let shown = text;
  for (let kept = text.length - 1; kept > 1 && textWidth(shown, size) > width; --kept) {
    const head = Math.ceil(kept / 2);
    shown = `${text.slice(0, head)}…${text.slice(text.length - (kept - head))}`;
  }
  return shown;
};

export const widest = (texts, size) => Math.max(0, ...texts.map((text) => textWidth(text, size)));
