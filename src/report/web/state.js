// What the reader has chosen, kept in the address behind #, so that links and the back button work:
// metric, scheme, kind, show, scale, judge, limit, and the marked cell: proj, layer, slot, open.

const indexOf = (list, text) => {
  const index = list.indexOf(text);
  return index >= 0 ? index : null;
};

const clampedNumber = (text) => {
  const value = Number(text);
  return text !== null && Number.isFinite(value) && value > 0 ? value : null;
};

// Lists are joined by commas, so a comma in a name is escaped once more.
const listOf = (text) => text.split(",").map((part) => part.replaceAll("%2C", ","));
const joined = (names) => names.map((name) => name.replaceAll(",", "%2C")).join(",");

const codecOf = (facts) => {
  const metrics = facts.metrics.map(({name}) => name);
  const schemes = facts.schemes.map(({name}) => name);
  const layers = facts.layers.map(({label}) => label);
  const slots = facts.slots.map(({label}) => label);
  const named = (list) => [(text) => indexOf(list, text), (index) => list[index]];
  const oneOf = (...words) => [(text) => (words.includes(text) ? text : null), String];
  return {
    metric: [(text) => (metrics.includes(text) ? text : null), String],
    scheme: named(schemes),
    kind: oneOf("all", "routed", "shared"),
    show: [(text) => {
      const found = listOf(text).map((name) => indexOf(facts.projs, name)).filter((p) => p !== null);
      return found.length ? found : null;
    }, (list) => joined(list.map((p) => facts.projs[p]))],
    scale: oneOf("linear", "log"),
    judge: oneOf("median", "p90", "max"),
    limit: [clampedNumber, String],
    proj: named(facts.projs),
    layer: named(layers),
    slot: named(slots),
    open: [(text) => (text === "1" ? true : null), () => "1"],
  };
};

// Half a surrogate pair has no place in an address.
const escaped = (text) => encodeURIComponent(text.replace(/\p{Surrogate}/gu, "\ufffd"));

/** Text behind # that stands for `values`, those that are null left out. */
const encode = (codec, values) => Object.entries(codec)
  .filter(([key]) => values[key] !== null && values[key] !== undefined && values[key] !== false)
  .map(([key, [, write]]) => `${key}=${escaped(write(values[key]))}`).join("&");

const decode = (codec, hash) => {
  const values = {};
  const given = new URLSearchParams(hash.replace(/^#/, "").replaceAll("+", "%2B"));
  for (const [key, [read]] of Object.entries(codec)) values[key] = given.has(key) ? read(given.get(key)) : null;
  return values;
};

// "#where" is a section of the page, and says nothing about the state.
const isState = (hash) => hash.includes("=");

/**
 * The state of the page. `get()` is what was chosen, null for what was not; `set(patch)` chooses and
 * tells those who `listen`. The address follows by a step of the back button ("push"), without one
 * ("replace"), or not yet ("keep": while a slider moves).
 */
export const stateOf = (facts, window) => {
  const codec = codecOf(facts);
  const listeners = [];
  let values = decode(codec, isState(window.location.hash) ? window.location.hash : "");

  const become = (next) => {
    const changed = Object.keys(codec).filter((key) => String(values[key]) !== String(next[key]));
    values = next;
    if (changed.length) for (const listener of listeners) listener(new Set(changed));
  };
  window.addEventListener("popstate", () => {
    const {hash} = window.location;
    if (isState(hash) || hash === "") become(decode(codec, hash));
  });

  return {
    get: () => values,
    listen: (listener) => listeners.push(listener),
    link: (patch) => `#${encode(codec, {...values, ...patch})}`,
    set: (patch, address = "push") => {
      const next = {...values, ...patch};
      const url = `#${encode(codec, next)}`;
      if (address === "replace") window.history.replaceState(null, "", url);
      else if (address === "push" && url !== window.location.hash) window.history.pushState(null, "", url);
      become(next);
    },
  };
};
