// Light or dark: as the system says, or as the reader chose; paper is always light.
import {DARK, LIGHT} from "./look.js";

const CHOICES = ["auto", "light", "dark"];
const KEY = "moescope-theme";
// A printer has more dots than a screen.
const PAPER_RATIO = 3;

// A page from a file may have no storage; then the choice lasts as long as the page.
const stored = () => {
  try {
    const kept = localStorage.getItem(KEY);
    return CHOICES.includes(kept) ? kept : "auto";
  } catch {
    return "auto";
  }
};

const store = (choice) => {
  try {
    localStorage.setItem(KEY, choice);
  } catch {
    // Not kept, no harm.
  }
};

/** What charts are drawn with: `look()`, `pixelRatio()`; listeners hear of changes. */
export const themeOf = () => {
  const root = document.documentElement;
  const systemDark = window.matchMedia("(prefers-color-scheme: dark)");
  const listeners = [];
  let choice = stored(),
    onPaper = false;

  const isDark = () => !onPaper && (choice === "dark" || (choice === "auto" && systemDark.matches));
  const apply = () => {
    root.dataset.theme = isDark() ? "dark" : "light";
    root.toggleAttribute("data-paper", onPaper);
    for (const listener of listeners) listener();
  };
  systemDark.addEventListener("change", apply);
  apply();

  return {
    choice: () => choice,
    look: () => ({...(isDark() ? DARK : LIGHT), font: getComputedStyle(document.body).fontFamily}),
    pixelRatio: () => (onPaper ? PAPER_RATIO : window.devicePixelRatio || 1),
    isPaper: () => onPaper,
    listen: (listener) => listeners.push(listener),
    next: () => {
      choice = CHOICES[(CHOICES.indexOf(choice) + 1) % CHOICES.length];
      store(choice);
      apply();
    },
    paper: (on) => {
      if (on === onPaper) return;
      onPaper = on;
      apply();
    },
  };
};
