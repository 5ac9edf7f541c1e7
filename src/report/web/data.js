// The run's data as the page carries it, decoded when it is wanted.
import {decodeBlock, inflate, valueInBlock} from "./block.js";

// Decoded columns that are kept, the least recently used go first.
const CACHE_BYTES = 96e6;

// The forms of Derivation in rows/schema.h.
const FORMS = {
  quotient: (a, b) => a / (b + 1e-12),
  product: (a, b) => a * b,
  decibels: (a) => -20 * Math.log10(a),
};

const derive = ({form}, a, b) => {
  const value = FORMS[form](a, b);
  return Number.isFinite(value) ? value : NaN;
};

/** A bounded map from keys to promises of columns. */
class Cache {
  #entries = new Map();
  #bytes = 0;

  get(key, make) {
    const kept = this.#entries.get(key) ?? make();
    this.#entries.delete(key);
    this.#entries.set(key, kept);
    return kept;
  }

  added(key, size) {
    this.#bytes += size;
    for (const oldest of this.#entries.keys()) {
      if (this.#bytes <= CACHE_BYTES || oldest === key) break;
      this.#entries.delete(oldest);
      this.#bytes -= size;
    }
  }
}

const inflatedJson = async (text) => JSON.parse(new TextDecoder().decode(await inflate(text)));

const isAbsent = (number) => number === null || number === undefined;

const blockOf = (metric, scheme) => (metric.of === "quant" ? metric.blocks?.[scheme] : metric.block);

/** What the page knows of a run. Columns are promises; everything else is in `facts`. */
class Run {
  #cache = new Cache();
  #names = null;
  #textOf;

  /** facts: the JSON; textOf(id): the text of that element. */
  constructor(facts, textOf) {
    this.facts = facts;
    this.#textOf = textOf;
    this.matrices = facts.matrices;
    this.metrics = facts.metrics;
  }

  metric(name) {
    return this.metrics.find((metric) => metric.name === name);
  }

  async #decoded(number) {
    const bytes = await inflate(this.#textOf(`block${number}`));
    return decodeBlock(this.facts.blocks[number], bytes, this.matrices);
  }

  #nulls() {
    return new Float64Array(this.matrices).fill(NaN);
  }

  async #make(metric, scheme) {
    if (!metric.derived) {
      const number = blockOf(metric, scheme);
      return isAbsent(number) ? this.#nulls() : this.#decoded(number);
    }
    const [a, b] = await Promise.all(metric.derived.of.map((name) => this.values(name, scheme)));
    return Float64Array.from(a, (value, i) => derive(metric.derived, value, b?.[i]));
  }

  /** One value for each matrix, NaN for null; `scheme` is an index, of no effect on the weights. */
  values(name, scheme = 0) {
    const metric = this.metric(name);
    if (!metric) return Promise.resolve(this.#nulls());
    const key = metric.of === "quant" ? `${name}/${scheme}` : name;
    return this.#cache.get(key, () => {
      const made = this.#make(metric, scheme);
      made.then(() => this.#cache.added(key, 8 * this.matrices));
      return made;
    });
  }

  /** The value of matrix i alone, which costs less than a column. */
  async valueAt(name, scheme, i) {
    const metric = this.metric(name);
    if (metric?.derived) {
      const sources = metric.derived.of.map((source) => this.valueAt(source, scheme, i));
      return derive(metric.derived, ...(await Promise.all(sources)));
    }
    const number = metric ? blockOf(metric, scheme) : null;
    if (isAbsent(number)) return NaN;
    const bytes = await inflate(this.#textOf(`block${number}`));
    return valueInBlock(this.facts.blocks[number], bytes, this.matrices, i);
  }

  /** A column of indices: layer, slot, proj, shape, storage or file. */
  async indices(name) {
    return Int32Array.from(await this.#decoded(this.facts.columns[name]));
  }

  /** The name of each matrix's tensor. */
  names() {
    this.#names ??= inflatedJson(this.#textOf(`block${this.facts.columns.name}`));
    return this.#names;
  }

  /** What can be chosen, as src/report/choice_data.h says. */
  choice() {
    return inflatedJson(this.#textOf("choice"));
  }
}

/** The run that stands in this document. */
export const runOf = (document) =>
  new Run(
    JSON.parse(document.getElementById("run").textContent),
    (id) => document.getElementById(id).textContent,
  );
