// One box that follows the pointer, or stands by a word, and holds text.
import {fill, freshId, h} from "./dom.js";

const GAP = 14;

const box = h("div", {class: "tip", role: "tooltip", id: "tip", hidden: true});

const place = (left, top, above) => {
  const {innerWidth, innerHeight} = window;
  const {width, height} = box.getBoundingClientRect();
  const x = left + GAP + width > innerWidth - 4 ? left - GAP - width : left + GAP;
  const y = top + GAP + height > innerHeight - 4 ? above - GAP - height : top + GAP;
  box.style.left = `${Math.max(4, Math.min(x, innerWidth - width - 4))}px`;
  box.style.top = `${Math.max(4, y)}px`;
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
export const showTip = ({x, y}, title, lines) => {
  show([h("strong", null, title), h("dl", null, lines.map(([label, value]) =>
    [h("dt", null, label), h("dd", null, value)]))]);
  place(x, y, y);
};

const showBy = (node, paragraphs) => {
  show(paragraphs.map((text, i) => h(i ? "p" : "strong", null, text)));
  const {left, top, bottom} = node.getBoundingClientRect();
  place(left - GAP, bottom - GAP + 6, top + GAP - 6);
};

/** A word that tells what it means on hover, focus and tap. */
export const term = (text, paragraphs) => {
  const node = h("button", {type: "button", class: "term", id: freshId("term"), "aria-describedby": "tip",
    onpointerenter: () => showBy(node, paragraphs), onpointerleave: hideTip,
    onfocus: () => showBy(node, paragraphs), onblur: hideTip,
    onclick: (event) => {
      event.stopPropagation();
      showBy(node, paragraphs);
    },
    onkeydown: (event) => {
      if (event.key === "Escape") hideTip();
    }}, text);
  return node;
};
