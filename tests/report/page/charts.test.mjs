// What charts are told to draw, where pixels would tell less.
import assert from "node:assert/strict";
import {describe, test} from "node:test";
import {distribution} from "../../../src/report/web/charts/distribution.js";
import {tradeoff} from "../../../src/report/web/charts/tradeoff.js";
import {coloursOf, shareIn} from "../../../src/report/web/colours.js";
import {DARK, LIGHT} from "../../../src/report/web/look.js";

const PHONE = {width: 358, height: 384};

const dataOf = (schemes, more) => ({
  xName: "bits per weight",
  yName: "relative error",
  limit: 0.1,
  limitLabel: "limit 0.1",
  schemes: schemes.map(([label, bits, error]) => ({label, bits, error, worst: error, onFront: true})),
  front: schemes.map(([, bits, error]) => ({bits, error})),
  groups: [0, 1, 2, 3, 4, 5].map((colour) => ({
    colour,
    shared: colour % 2 === 1,
    points: schemes.map(([, bits, error]) => ({bits, error, median: error, worst: error})),
  })),
  ...more,
});

const USUAL = [
  ["mxfp4_g32", 4.25, 0.118],
  ["affine_q4_g32", 5, 0.081],
  ["affine_q8_g32", 9, 0.005],
];

describe("error against bits", () => {
  const pixelsPerBit = ({xAxis, grid}, {width}) => (width - grid.left - grid.right) / (xAxis.max - xAxis.min);

  test("points of one scheme stand side by side within a tenth of a bit, on a phone too", () => {
    for (const size of [PHONE, {width: 1100, height: 432}]) {
      const option = tradeoff(dataOf(USUAL), LIGHT, size);
      const offsets = option.series.flatMap(({symbolOffset}) => (symbolOffset ? [symbolOffset[0]] : []));
      assert.equal(offsets.length, 6);
      const reach = (Math.max(...offsets) - Math.min(...offsets)) / pixelsPerBit(option, size);
      assert.ok(reach > 0.03 && reach < 0.101, `${reach} bits`);
    }
  });

  test("names end where the picture ends", () => {
    const data = dataOf([...USUAL, ["a_scheme_of_16_bits", 16, 0.2]]);
    data.schemes.at(-1).onFront = false;
    const option = tradeoff(data, LIGHT, PHONE);
    const perBit = pixelsPerBit(option, PHONE);
    for (const {name, value, label} of option.series.at(-1).data) {
      const x = option.grid.left + (value[0] - option.xAxis.min) * perBit + label.offset[0];
      const width = 7.7 * name.length;
      const [left, right] = label.align === "left" ? [x, x + width] : [x - width, x];
      assert.ok(left >= option.grid.left - 1 && right <= PHONE.width + 1, `${name}: ${left} to ${right}`);
    }
  });

  test("names stand by their points, and cover neither points nor strokes nor each other", () => {
    const nine = [
      ["q3", "affine_q3_g64", 3.5, 0.19, true],
      ["mxfp4", "mxfp4_g32", 4.25, 0.117, true],
      ["q4", "affine_q4_g64", 4.5, 0.0911, true],
      ["nvfp4", "nvfp4_g16", 4.5, 0.0995, false],
      ["q4g32", "affine_q4_g32", 5, 0.0811, true],
      ["q5", "affine_q5_g64", 5.5, 0.0445, true],
      ["q6", "affine_q6_g64", 6.5, 0.0226, true],
      ["mxfp8", "mxfp8_g32", 8.25, 0.0266, false],
      ["q8", "affine_q8_g64", 8.5, 0.0085, true],
    ];
    for (const size of [PHONE, {width: 1100, height: 432}]) {
      const data = dataOf(
        nine.map(([, ...one]) => one),
        {limit: null},
      );
      data.schemes.forEach((scheme, i) => {
        Object.assign(scheme, {short: nine[i][0], onFront: nine[i][4]});
        scheme.worst *= 1.25;
      });
      const option = tradeoff(data, LIGHT, size);
      const {left, top, bottom} = option.grid;
      const perBit = pixelsPerBit(option, size);
      const [{min, max}] = option.yAxis;
      const down = (y) => top + ((max - y) / (max - min)) * (size.height - top - bottom);
      const boxes = option.series.at(-1).data.map(({name, value, label}) => {
        const [x, y] = [left + (value[0] - option.xAxis.min) * perBit, down(value[1])];
        const edge = x + label.offset[0],
          middle = y + label.offset[1],
          width = 6.5 * name.length;
        return {
          name,
          x,
          y,
          left: label.align === "left" ? edge : edge - width,
          right: label.align === "left" ? edge + width : edge,
          top: middle - 7,
          bottom: middle + 7,
        };
      });
      for (const [i, box] of boxes.entries()) {
        assert.equal(box.name, nine[i][size === PHONE ? 0 : 1]);
        const away = Math.max(box.left - box.x, box.x - box.right, box.top - box.y, box.y - box.bottom);
        assert.ok(away < 30, `${box.name} is ${away} pixels away at ${size.width}`);
        for (const [j, other] of boxes.entries()) {
          const stroke = {
            left: other.x,
            right: other.x,
            top: down(Math.log10(1.25 * nine[j][3])),
            bottom: other.y,
          };
          for (const one of i === j ? [stroke] : [stroke, other]) {
            const isClear =
              box.right <= one.left ||
              one.right <= box.left ||
              box.bottom <= one.top ||
              one.bottom <= box.top;
            assert.ok(isClear, `${box.name} and ${other.name} at ${size.width}`);
          }
        }
      }
    }
  });

  test("an error of zero lies at a floor of that name, and its name above the axis", () => {
    const option = tradeoff(dataOf([...USUAL, ["exact", 16, 0]]), LIGHT, PHONE);
    const [errors, decibels] = option.yAxis;
    const [floor, ...others] = errors.axisLabel.customValues;
    assert.equal(floor, errors.min);
    assert.equal(errors.axisLabel.formatter(floor), "0 (exact)");
    assert.equal(decibels.axisLabel.formatter(floor), "∞ dB");
    // Between the floor and the least error there is no scale.
    assert.ok(Math.min(...others) >= Math.log10(0.005 / 1.25));
    const [name] = option.series.at(-1).data.filter((one) => one.name === "exact");
    assert.equal(name.value[1], floor);
    assert.deepEqual([name.label.align, name.label.offset[1]], ["right", -7.5]);
    const above = tradeoff(dataOf(USUAL), LIGHT, PHONE).yAxis[0];
    assert.ok(above.axisLabel.customValues.every((y) => above.axisLabel.formatter(y) !== "0 (exact)"));
  });
});

test("on dark the bars of the colour scale have an outline", () => {
  const data = {counts: [4, 0, 9], colours: ["#440154", "#21918c", "#fde725"], ticks: [[0, 0.1]]};
  const styles = (look) => distribution(data, look).series[0].data.map(({itemStyle}) => itemStyle);
  for (const {borderColor, borderWidth} of styles(DARK)) {
    assert.deepEqual([borderColor, borderWidth], [DARK.muted, 0.5]);
  }
  assert.deepEqual(styles(LIGHT)[0], {color: "#440154"});
});

test("no value has no place among the colours, though all that there are are one", () => {
  const share = (values) =>
    values.map(
      shareIn(
        coloursOf(values, () => true, null, "ratio"),
        [0, 1],
      ),
    );
  assert.deepEqual(share([NaN, 1, 1]), [NaN, 0.5, 0.5]);
  assert.deepEqual(share([NaN, 1, 2]), [NaN, 0, 1]);
});
