// The run's data as the page carries it (src/report/page_data.h says how), decoded when it is wanted.

// Decoded columns that are kept, the least recently used go first.
const CACHE_BYTES = 96e6;

const fromBase64 = (text) => {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; ++i) bytes[i] = raw.charCodeAt(i);
  return bytes;
};

const inflate = async (bytes) => {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
};

// Powers of ten up to here are exact, and so are products and quotients by them, rounded once.
const EXACT_POWERS = Array.from({length: 23}, (_, e) => Number(`1e${e}`));

/** mantissa * 10^exponent, rounded correctly. */
export const decimal = (mantissa, exponent) => {
  if (exponent > 22 || exponent < -22) return Number(`${mantissa}e${exponent}`);
  return exponent < 0 ? mantissa / EXACT_POWERS[-exponent] : mantissa * EXACT_POWERS[exponent];
};

const fiveDigits = (k) => {
  if (k === 0) return 0;
  const code = Math.abs(k) - 1;
  const exponent = Math.floor(code / 90000) - 400;
  return Math.sign(k) * decimal(10000 + code % 90000, exponent);
};

const unpack = ({kind, base}, u) => {
  if (u === 0) return NaN;
  return kind === "number" ? fiveDigits(u - 1 + base) : u - 1 + base;
};

/** All values of an inflated block: a Float64Array with NaN for null. */
export const decodeBlock = (block, planes, length) => {
  const values = new Float64Array(length);
  for (let p = block.planes - 1; p >= 0; --p) {
    for (let i = 0, at = p * length; i < length; ++i, ++at) values[i] = values[i] * 256 + planes[at];
  }
  for (let i = 0; i < length; ++i) values[i] = unpack(block, values[i]);
  return values;
};

const valueAt = (block, planes, length, i) => {
  let u = 0;
  for (let p = block.planes - 1; p >= 0; --p) u = u * 256 + planes[p * length + i];
  return unpack(block, u);
};

// As the tables have them: x / (y + eps) of 0 and 0 is 0, decibels of no error are null.
const quotient = (a, b) => (a === 0 && b === 0 ? 0 : a / b);
const DERIVATIONS = [
  [/^sqnr_db$/, () => ["w_rel_fro"], (error) => (error > 0 ? -20 * Math.log10(error) : NaN)],
  [/^max_abs_err$/, () => ["w_rel_max", "max_abs"], (relative, largest) => relative * largest],
  [/^outlier_max_over_mean$/, () => ["max_abs", "mean_abs"], quotient],
  [/^outlier_(p\d+)_over_median$/, ([, percentile]) => [`${percentile}_abs`, "p50_abs"], quotient],
];

const derivation = (name) => {
  for (const [pattern, sources, formula] of DERIVATIONS) {
    const match = pattern.exec(name);
    if (match) return {sources: sources(match), formula};
  }
  return null;
};

/** A bounded map from keys to promises of typed arrays. */
class Cache {
  #entries = new Map();
  #bytes = 0;

  get(key, make) {
    const kept = this.#entries.get(key) ?? make();
    this.#entries.delete(key);
    this.#entries.set(key, kept);
    return kept;
  }

  async added(key, size) {
    this.#bytes += size;
    for (const oldest of this.#entries.keys()) {
      if (this.#bytes <= CACHE_BYTES || oldest === key) break;
      this.#entries.delete(oldest);
      this.#bytes -= size;
    }
  }
}

/** What the page knows of a run. Columns and metrics are promises; everything else is in `facts`. */
export class Run {
  #cache = new Cache();
  #names = null;
  #textOf;

  /** facts: the JSON; textOf(number): the text of that block. */
  constructor(facts, textOf) {
    this.facts = facts;
    this.#textOf = textOf;
    this.matrices = facts.matrices;
    this.metrics = facts.metrics.filter((metric) => this.#exists(metric));
  }

  #exists(metric) {
    if (!metric.derived) return true;
    const how = derivation(metric.name);
    return how !== null && how.sources.every((name) => this.facts.metrics.some((m) => m.name === name));
  }

  metric(name) {
    return this.metrics.find((metric) => metric.name === name);
  }

  #inflated(number) {
    return inflate(fromBase64(this.#textOf(number)));
  }

  async #decoded(number) {
    const block = this.facts.blocks[number];
    return decodeBlock(block, await this.#inflated(number), this.matrices);
  }

  #nulls() {
    return new Float64Array(this.matrices).fill(NaN);
  }

  #blockOf(metric, scheme) {
    return metric.of === "quant" ? metric.blocks?.[scheme] : metric.block;
  }

  async #make(metric, scheme) {
    if (metric.derived) {
      const {sources, formula} = derivation(metric.name);
      const columns = await Promise.all(sources.map((name) => this.values(name, scheme)));
      const values = new Float64Array(this.matrices);
      for (let i = 0; i < values.length; ++i) values[i] = formula(columns[0][i], columns[1]?.[i]);
      return values;
    }
    const number = this.#blockOf(metric, scheme);
    return number === null || number === undefined ? this.#nulls() : this.#decoded(number);
  }

  /** One value for each matrix, NaN for null; `scheme` is an index and matters to quant metrics only. */
  values(name, scheme) {
    const metric = this.metric(name);
    if (!metric) return Promise.resolve(this.#nulls());
    const key = metric.of === "quant" ? `${name}/${scheme}` : name;
    return this.#cache.get(key, () => {
      const made = this.#make(metric, scheme);
      made.then(() => this.#cache.added(key, 8 * this.matrices), () => {});
      return made;
    });
  }

  /** The value of matrix i alone, which costs less than a column. */
  async valueAt(name, scheme, i) {
    const metric = this.metric(name);
    if (!metric) return NaN;
    if (metric.derived) {
      const {sources, formula} = derivation(name);
      return formula(...await Promise.all(sources.map((source) => this.valueAt(source, scheme, i))));
    }
    const number = this.#blockOf(metric, scheme);
    if (number === null || number === undefined) return NaN;
    return valueAt(this.facts.blocks[number], await this.#inflated(number), this.matrices, i);
  }

  /** A column of small numbers (layer, slot, proj, shape, storage, file); -1 for null or if it is missing. */
  async indices(name) {
    const number = this.facts.columns[name];
    if (number === null || number === undefined) return new Int32Array(this.matrices).fill(-1);
    const values = await this.#decoded(number);
    return Int32Array.from(values, (value) => (value === value ? value : -1));
  }

  /** The name of each matrix's tensor. */
  names() {
    const number = this.facts.columns.name;
    this.#names ??= number === null || number === undefined
      ? Promise.resolve(new Array(this.matrices).fill(""))
      : this.#inflated(number).then((bytes) => JSON.parse(new TextDecoder().decode(bytes)));
    return this.#names;
  }
}

/** The run that stands in this document. */
export const runOf = (document) => new Run(JSON.parse(document.getElementById("run").textContent),
  (number) => document.getElementById(`block${number}`).textContent.trim());
