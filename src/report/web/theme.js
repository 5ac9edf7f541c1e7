// Light or dark: as the system says, or as the reader chose; paper is always light.
import {DARK, LIGHT} from "./look.js";

const CHOICES = ["auto", "light", "dark"];
const KEY = "moescope-theme";

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

/** {choice, look(), next(), listen}: `look()` is what charts are drawn with, listeners hear of changes. */
export const themeOf = (window) => {
  const root = window.document.documentElement;
  const systemDark = window.matchMedia("(prefers-color-scheme: dark)");
  const listeners = [];
  let choice = stored();
  let onPaper = false;

  const isDark = () => !onPaper && (choice === "dark" || (choice === "auto" && systemDark.matches));
  const apply = () => {
    root.dataset.theme = isDark() ? "dark" : "light";
    for (const listener of listeners) listener();
  };
  systemDark.addEventListener("change", apply);
  root.dataset.theme = isDark() ? "dark" : "light";

  return {
    choice: () => choice,
    look: () => ({...(isDark() ? DARK : LIGHT), font: window.getComputedStyle(window.document.body).fontFamily}),
    listen: (listener) => listeners.push(listener),
    next: () => {
      choice = CHOICES[(CHOICES.indexOf(choice) + 1) % CHOICES.length];
      store(choice);
      apply();
    },
    paper: (on) => {
      onPaper = on;
      apply();
    },
  };
};
