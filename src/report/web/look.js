// Colours and text sizes of the charts; the page's own are in page.css.

// Okabe and Ito's palette, told apart with every kind of colour blindness (jfly.uni-koeln.de/color),
// reordered so that neighbours differ in lightness too.
const SERIES = [
  "#0072b2",
  "#d55e00",
  "#009e73",
  "#cc79a7",
  "#e69f00",
  "#56b4e9",
  "#8c6d31",
  "#7f7f7f",
  "#5e3c99",
  "#b2182b",
];

// Viridis in nine steps (Smith and van der Walt, 2015): even in lightness, safe for colour blindness.
const RAMP = [
  "#440154",
  "#472d7b",
  "#3b528b",
  "#2c728e",
  "#21918c",
  "#28ae80",
  "#5ec962",
  "#addc30",
  "#fde725",
];

// Blue, white, orange: for values on both sides of zero.
const DIVERGING = ["#2166ac", "#67a9cf", "#d1e5f0", "#f7f7f7", "#fddbc7", "#ef8a62", "#b2182b"];

// The same hues, light enough for a dark background.
const SERIES_ON_DARK = [
  "#4aa3df",
  "#f07f3c",
  "#2bbf94",
  "#e0a0c6",
  "#f2b84b",
  "#9bd4f5",
  "#c09a5f",
  "#a6a6a6",
  "#a58fdc",
  "#ee7b80",
];

const common = {ramp: RAMP, diverging: DIVERGING, font: "DejaVu Sans, system-ui, sans-serif"};

export const LIGHT = {
  ...common,
  series: SERIES,
  dark: false,
  background: "#ffffff",
  text: "#1f2328",
  muted: "#59636e",
  line: "#d1d9e0",
  missing: "#eceff2",
};
export const DARK = {
  ...common,
  series: SERIES_ON_DARK,
  dark: true,
  background: "#151b23",
  text: "#e6edf3",
  muted: "#9198a1",
  line: "#3d444d",
  missing: "#262c36",
};
