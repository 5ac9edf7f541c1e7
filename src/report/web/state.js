// What the reader has chosen, kept in the address behind #, so that links and the back button work:
// metric, scheme, kind, show, scale of the heatmaps, goal, size, limit, judge and rest
// of the choice, the marked cell:
// proj, layer, slot, open, and the pair of schemes a, b.

const indexOf = (list, text) => {
  const index = list.indexOf(text);
  return index >= 0 ? index : null;
};

const positive = (text) => {
  const value = Number(text);
  return Number.isFinite(value) && value > 0 ? value : null;
};

// A comma in a name is escaped once more, since lists are joined by commas.
const listOf = (text) => text.split(",").map((part) => part.replaceAll("%2C", ","));
const joined = (names) => names.map((name) => name.replaceAll(",", "%2C")).join(",");

/** By key: [read(text), which gives null for what is not known; write(value)]. */
const codecOf = ({metrics, schemes, layers, slots, projs}) => {
  const named = (list) => [(text) => indexOf(list, text), (index) => list[index]];
  const oneOf = (...words) => [(text) => (words.includes(text) ? text : null), String];
  const readProjs = (text) => {
    const found = listOf(text)
      .map((name) => indexOf(projs, name))
      .filter((p) => p !== null);
    return found.length ? found : null;
  };
  return {
    metric: oneOf(...metrics.map(({name}) => name)),
    scheme: named(schemes.map(({name}) => name)),
    kind: oneOf("all", "routed", "shared"),
    show: [readProjs, (list) => joined(list.map((p) => projs[p]))],
    scale: oneOf("linear", "log"),
    judge: oneOf("median", "p90", "max"),
    limit: [positive, String],
    goal: oneOf("good", "size", "limit"),
    size: [positive, String],
    rest: [(text) => text, String],
    proj: named(projs),
    layer: named(layers.map(({label}) => label)),
    slot: named(slots.map(({label}) => label)),
    open: [(text) => (text === "1" ? true : null), () => "1"],
    a: named(schemes.map(({name}) => name)),
    b: named(schemes.map(({name}) => name)),
  };
};

// Half a surrogate pair has no place in an address.
const escaped = (text) => encodeURIComponent(text.replace(/\p{Surrogate}/gu, "\ufffd"));

const encode = (codec, values) =>
  Object.entries(codec)
    .filter(([key]) => values[key] !== null)
    .map(([key, [, write]]) => `${key}=${escaped(write(values[key]))}`)
    .join("&");

const decode = (codec, hash) => {
  const given = new URLSearchParams(hash.slice(1).replaceAll("+", "%2B"));
  return Object.fromEntries(
    Object.entries(codec).map(([key, [read]]) => [key, given.has(key) ? read(given.get(key)) : null]),
  );
};

/** Whether text from the address is a state; "#odd" is a section of the page. */
export const isState = (hash) => hash.includes("=");

/**
 * The state of the page. `get()` is what was chosen, null for what was not; `set(patch)` chooses and
 * tells those who `listen` which keys have changed. The address follows with a step for the back
 * button ("push"), without one ("replace"), or not yet ("keep": while a slider moves).
 */
export const stateOf = (facts) => {
  const codec = codecOf(facts);
  const listeners = [];
  let values = decode(codec, isState(location.hash) ? location.hash : "");

  const become = (next) => {
    const changed = Object.keys(codec).filter((key) => String(values[key]) !== String(next[key]));
    values = next;
    if (changed.length) for (const listener of listeners) listener(new Set(changed));
  };
  const link = (patch) => `#${encode(codec, {...values, ...patch})}`;
  // Also when the reader edits the address.
  window.addEventListener("popstate", () => {
    if (isState(location.hash) || location.hash === "") become(decode(codec, location.hash));
  });

  return {
    get: () => values,
    listen: (listener) => listeners.push(listener),
    link,
    set: (patch, address = "push") => {
      const url = link(patch);
      if (address === "replace") history.replaceState(null, "", url);
      else if (address === "push" && url !== location.hash) history.pushState(null, "", url);
      become({...values, ...patch});
    },
  };
};
