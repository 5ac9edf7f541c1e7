// Numbers, sizes, times and names as people read them.
import {shortNumber} from "./charts/frame.js";

export {shortNumber};

const DASH = "–";
const isNumber = (value) => typeof value === "number" && value === value;

/** `digits` significant digits, zeros kept: 0.0810, so that a column of them reads well. */
export const significant = (value, digits) => {
  if (!isNumber(value)) return DASH;
  if (value === 0) return "0";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "-∞";
  const magnitude = Math.abs(value);
  if (magnitude < 1e-4 || magnitude >= 1e6) return shortNumber(Number(value.toPrecision(digits)));
  return Number(value.toPrecision(digits)).toFixed(
    Math.max(0, digits - 1 - Math.floor(Math.log10(magnitude))),
  );
};

/** To so many significant digits. */
export const rounded = (value, digits) => Number(value.toPrecision(digits));

const grouped = new Intl.NumberFormat("en", {maximumFractionDigits: 0});

/** 70455 -> "70,455". */
export const count = (value) => (isNumber(value) ? grouped.format(value) : DASH);

/** count(1, "matrix", "matrices") -> "1 matrix". */
export const plural = (value, one, many = `${one}s`) => `${count(value)} ${value === 1 ? one : many}`;

const scaled = (value, base, units, digits = 3) => {
  let step = 0;
  while (step + 1 < units.length && Math.abs(value) >= base * 0.9995) {
    value /= base;
    ++step;
  }
  return `${shortNumber(rounded(value, digits))}${units[step]}`;
};

/** 1.03e12 weights -> "1.03 trillion". */
export const many = (value) =>
  isNumber(value) ? scaled(value, 1000, ["", " thousand", " million", " billion", " trillion"]) : DASH;

const BYTES_DIGITS = 3;

/** Decimal units, as disks and model pages count. */
export const bytes = (value, digits = BYTES_DIGITS) =>
  isNumber(value) ? scaled(value, 1000, [" B", " kB", " MB", " GB", " TB"], digits) : DASH;

/** What bytes() shows of a size: what a reader types who has seen it. */
export const asShown = (value) => rounded(value, BYTES_DIGITS);

export const percent = (share) => {
  if (!isNumber(share)) return DASH;
  const rounded = Number((100 * share).toPrecision(3));
  // What is not all must not read as all.
  return `${rounded === 100 && share < 1 ? "99.9" : shortNumber(rounded)} %`;
};

/** A share of the experts, as the program prints it: never rounded up. */
export const coverage = (share) => `${(Math.floor(share * 1e4) / 100).toFixed(2)} %`;

export const decibels = (relativeError) =>
  relativeError > 0 ? `${(-20 * Math.log10(relativeError)).toFixed(1)} dB` : "∞ dB";

export const duration = (seconds) => {
  if (!isNumber(seconds)) return DASH;
  if (seconds < 60) return `${shortNumber(Number(seconds.toPrecision(2)))} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
};

/** ISO 8601 text as a date and time in UTC; text that is none stays as it is. */
export const moment = (text) => {
  const time = new Date(text);
  if (!text || Number.isNaN(time.getTime())) return text ? printable(text) : DASH;
  return (
    new Intl.DateTimeFormat("en-GB", {dateStyle: "long", timeStyle: "short", timeZone: "UTC"}).format(time) +
    " UTC"
  );
};

// Control characters, and marks that reorder or hide text: a name must not change how its neighbours
// read, or look like another one.
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** Text of the checkpoint as it may be shown. */
export const printable = (text) =>
  String(text).replace(UNPRINTABLE, (mark) => `\\u${mark.charCodeAt(0).toString(16).padStart(4, "0")}`);

/** printable() of at most `length` characters. */
export const clipped = (text, length = 48) => {
  const shown = printable(String(text).slice(0, 4 * length));
  return shown.length <= length ? shown : `${shown.slice(0, length - 1)}…`;
};

/** ["a", "b", "c"] -> "a, b and c". */
export const inWords = (list) =>
  [list.slice(0, -1).join(", "), list.at(-1)].filter((part) => part).join(" and ");

/** [0, 1, 2, 5] -> "0–2, 5", by the labels of those indices. */
export const ranges = (indices, labels) => {
  const parts = [];
  for (let i = 0, start = 0; i < indices.length; ++i) {
    if (i + 1 < indices.length && indices[i + 1] === indices[i] + 1) continue;
    const [from, to] = [labels[indices[start]], labels[indices[i]]];
    parts.push(start === i ? from : i === start + 1 ? `${from}, ${to}` : `${from}–${to}`);
    start = i + 1;
  }
  return parts.join(", ");
};
