// What the charts use and an engine of ECMAScript 5 with typed arrays lacks.
const provide = (object, name, value) => {
  if (!object[name]) Object.defineProperty(object, name, {value});
};

provide(Object, "hasOwn", (object, name) => Object.prototype.hasOwnProperty.call(object, name));

provide(Array.prototype, "fill", function (value) {
  for (let i = 0; i < this.length; ++i) this[i] = value;
  return this;
});
provide(Array.prototype, "find", function (isWanted) {
  return this.filter(isWanted)[0];
});
provide(Array.prototype, "flatMap", function (f) {
  return [].concat(...this.map(f));
});

provide(Float64Array, "from", (list, f) => new Float64Array(Array.prototype.map.call(list, f)));
provide(Float64Array.prototype, "map", function (f) {
  return Float64Array.from(this, f);
});
provide(Float64Array.prototype, "sort", function () {
  return Array.prototype.sort.call(this, (a, b) => a - b);
});
