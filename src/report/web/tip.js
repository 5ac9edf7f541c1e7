// One box that follows the pointer, or stands by a word, and holds text.
import {fill, h} from "./dom.js";

const GAP = 14,
  MARGIN = 4;

const box = h("div", {class: "tip", role: "tooltip", id: "tip", hidden: true});

const clamp = (value, low, high) => Math.max(low, Math.min(high, value));

/** Right of and below a point; on the other side, `above`, where there is no room. */
const place = (left, top, above) => {
  const {innerWidth, innerHeight} = window;
  const {width, height} = box.getBoundingClientRect();
  const x = left + GAP + width > innerWidth - MARGIN ? left - GAP - width : left + GAP;
  const y = top + GAP + height > innerHeight - MARGIN ? above - GAP - height : top + GAP;
  box.style.left = `${clamp(x, MARGIN, Math.max(MARGIN, innerWidth - width - MARGIN))}px`;
  box.style.top = `${Math.max(MARGIN, y)}px`;
};

const show = (content) => {
  if (!box.isConnected) document.body.append(box);
  fill(box, content);
  box.hidden = false;
};

export const hideTip = () => {
  box.hidden = true;
};

/** Title and [label, value] lines beside the pointer. */
export const showTip = ({clientX, clientY}, title, lines) => {
  show([
    h("strong", null, title),
    h(
      "dl",
      null,
      lines.map(([label, value]) => [h("dt", null, label), h("dd", null, value)]),
    ),
  ]);
  place(clientX, clientY, clientY);
};

const showBy = (node, [title, ...paragraphs]) => {
  show([h("strong", null, title), paragraphs.map((text) => h("p", null, text))]);
  const {left, top, bottom} = node.getBoundingClientRect();
  place(left - GAP, bottom - GAP + 6, top + GAP - 6);
};

/** Makes a control tell `paragraphs` on hover, focus and tap. */
export const explain = (node, paragraphs) => {
  const tell = () => showBy(node, paragraphs);
  node.setAttribute("aria-describedby", box.id);
  node.addEventListener("pointerenter", tell);
  node.addEventListener("pointerleave", hideTip);
  node.addEventListener("focus", tell);
  node.addEventListener("blur", hideTip);
  node.addEventListener("click", tell);
  return node;
};

/** A word that tells what it means. */
export const term = (text, paragraphs) =>
  explain(h("button", {type: "button", class: "term"}, text), paragraphs);

/** Calls tell(event) where the pointer moves over a node or taps it; hides the tip when it leaves. */
export const tellOver = (node, tell) => {
  node.addEventListener("mousemove", tell);
  node.addEventListener("click", tell);
  node.addEventListener("pointerleave", hideTip);
};

// Before what is clicked tells something itself.
document.addEventListener("click", hideTip, {capture: true});
document.addEventListener("keydown", ({key}) => {
  if (key === "Escape") hideTip();
});
