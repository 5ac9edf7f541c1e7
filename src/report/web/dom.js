// Nodes from text. Nothing of the run ever becomes markup: strings are always text nodes.

const setProp = (node, name, value) => {
  if (value === undefined || value === null || value === false) return;
  if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
  else if (name === "class") node.className = value;
  else if (name === "data") Object.assign(node.dataset, value);
  else if (name in node && typeof value !== "string") node[name] = value;
  else node.setAttribute(name, value === true ? "" : value);
};

const appendAll = (node, children) => {
  for (const child of children) {
    if (Array.isArray(child)) appendAll(node, child);
    else if (child !== null && child !== undefined && child !== false) node.append(child);
  }
  return node;
};

/** h("p", {class: "note", onclick: f}, "text", node, [more]); null and false children are left out. */
export const h = (tag, props, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) setProp(node, name, value);
  return appendAll(node, children);
};

/** `node` with `children` instead of what it held. */
export const fill = (node, ...children) => {
  node.replaceChildren();
  return appendAll(node, children);
};

let lastId = 0;
/** An id that no other node has. */
export const freshId = (prefix) => `${prefix}-${++lastId}`;

/** A choice of few: buttons that look like one control. options: [[value, label]]. */
export const choice = (legend, options, value, onchange) => {
  const name = freshId("choice");
  return h(
    "fieldset",
    {class: "choice"},
    h("legend", null, legend),
    h(
      "div",
      {class: "segments"},
      options.map(([key, label]) =>
        h(
          "label",
          null,
          h("input", {
            type: "radio",
            name,
            value: key,
            checked: key === value,
            onchange: () => onchange(key),
          }),
          h("span", null, label),
        ),
      ),
    ),
  );
};

/** Shows `value` in a control that choice() made. */
export const setChoice = (fieldset, value) => {
  for (const input of fieldset.querySelectorAll("input")) input.checked = input.value === value;
};

/** Of calls that overlap only the latest goes on: `await` its argument where others may come between. */
export const latest = (task) => {
  let turn = 0;
  return async (...args) => {
    const mine = ++turn;
    const current = () => mine === turn;
    return task(current, ...args);
  };
};
