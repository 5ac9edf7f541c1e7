// The bar at the top: the sections, which of them is being read, and the theme.
import {h} from "./dom.js";
import {isState} from "./state.js";

export const SECTIONS = [
  ["model", "Model"],
  ["schemes", "Schemes"],
  ["recipes", "Recipes"],
  ["where", "Where"],
  ["rest", "Rest"],
  ["odd", "Odd"],
  ["pairs", "Pairs"],
  ["limits", "Limits"],
];

/** Scrolls to a section and moves the focus there; the address keeps what the reader has chosen. */
const goTo = (id) => {
  document.getElementById(id).scrollIntoView();
  document.getElementById(`${id}-title`).focus({preventScroll: true});
  if (!isState(location.hash)) history.replaceState(null, "", `#${id}`);
};

/** Links to sections, in the bar or in the text, are goTo()s. */
const hookLinks = (links) =>
  document.addEventListener("click", (event) => {
    const id = event.target.closest?.("a[href^='#']")?.getAttribute("href").slice(1);
    if (event.ctrlKey || event.metaKey || event.shiftKey || !links.has(id)) return;
    event.preventDefault();
    goTo(id);
  });

// A section is being read while it crosses this line below the bar.
const READING_LINE = "-20% 0px -75% 0px";

const followReader = (links) => {
  const seen = new IntersectionObserver(
    (entries) => {
      for (const {target, isIntersecting} of entries) {
        const link = links.get(target.id);
        if (isIntersecting) link.setAttribute("aria-current", "true");
        else link.removeAttribute("aria-current");
      }
    },
    {rootMargin: READING_LINE},
  );
  for (const id of links.keys()) seen.observe(document.getElementById(id));
};

const themeButton = (theme) => {
  const choice = h("span", null, theme.choice());
  return h(
    "button",
    {
      type: "button",
      class: "theme",
      onclick: () => {
        theme.next();
        choice.textContent = theme.choice();
      },
    },
    h("span", {class: "word"}, "Theme: "),
    choice,
  );
};

/** sections: [[id, label]]; {element, begin(): when all of them are there} */
export const navigationOf = (theme, sections) => {
  const links = new Map(sections.map(([id, label]) => [id, h("a", {href: `#${id}`}, label)]));
  return {
    element: h(
      "nav",
      {"aria-label": "Sections"},
      h(
        "ul",
        null,
        [...links.values()].map((link) => h("li", null, link)),
      ),
      themeButton(theme),
    ),
    begin: () => {
      hookLinks(links);
      followReader(links);
      const id = location.hash.slice(1);
      if (links.has(id)) document.getElementById(id).scrollIntoView();
    },
  };
};
