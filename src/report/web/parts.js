// Pieces that several sections are made of.
import {fill, freshId, h} from "./dom.js";
import {clipped, count, plural} from "./format.js";

/** What is seen, and how to read it. */
export const figure = (content, ...caption) => h("figure", null, content, h("figcaption", null, caption));

/** A part of the page with a question as its heading. */
export const section = (id, title, ...content) =>
  h(
    "section",
    {id, "aria-labelledby": `${id}-title`},
    h("h2", {id: `${id}-title`, tabindex: "-1"}, title),
    content,
  );

/** Something that the reader must know: kind "note" or "warning". */
export const note = (kind, ...content) => h("div", {class: `note ${kind}`, role: "note"}, content);

/** A list that is folded if it is long; every item is in it. */
export const foldedList = (items, summary, openUpTo = 5) => {
  const list = h(
    "ul",
    {class: "plain"},
    items.map((item) => h("li", null, item)),
  );
  return items.length <= openUpTo
    ? list
    : h("details", {class: "printed"}, h("summary", null, summary), list);
};

/** Text that may be very long or run the other way, in a box of its own. */
export const named = (text) => h("bdi", {class: "name"}, text);

/** The name of a scheme, and how many of all matrices it fits, if not all. */
export const schemeName = (name, fitted, total) => [
  named(clipped(name, 40)),
  fitted < total
    ? h(
        "span",
        {class: "fits"},
        ` fits ${fitted ? `${count(fitted)} of ${plural(total, "matrix", "matrices")}` : "no matrix"}`,
      )
    : null,
];

/** A patch of colour in a legend. */
export const swatch = (colour, className = "") => {
  const node = h("span", {class: `swatch ${className}`});
  if (colour) node.style.backgroundColor = colour;
  return node;
};

const isTold = (value) => value !== null && value !== undefined && value !== "" && value !== "–";

/** Rows of [term, value] that have a value. */
export const factList = (facts) =>
  h(
    "dl",
    {class: "facts"},
    facts
      .filter(([, value]) => isTold(value))
      .map(([label, value]) => h("div", null, h("dt", null, label), h("dd", null, value))),
  );

/** A control under its name. */
export const labelled = (text, control) => {
  control.id = freshId("control");
  return h("div", {class: "control"}, h("label", {for: control.id}, text), control);
};

/** Values are the schemes' indices, as text. */
export const schemeSelect = (schemes, onchange) =>
  h(
    "select",
    {onchange: ({target}) => onchange(Number(target.value))},
    schemes.map(({name}, s) => h("option", {value: String(s)}, clipped(name, 60))),
  );

/** A bar as long as `share` (0 to 1) of its cell. */
export const bar = (share) => {
  const node = h("span", {class: "bar", "aria-hidden": "true"});
  node.style.setProperty("--share", Number.isFinite(share) ? Math.max(0, Math.min(1, share)) : 0);
  return node;
};

/** Content that is made when its <details> is opened, and again after renew(). */
export const lazyDetails = (summary, make) => {
  const box = h("div", null);
  let isStale = true;
  const refresh = () => {
    if (isStale && details.open) {
      fill(box, make());
      isStale = false;
    }
  };
  const details = h("details", {ontoggle: refresh}, h("summary", null, summary), box);
  details.renew = () => {
    isStale = true;
    refresh();
  };
  return details;
};
