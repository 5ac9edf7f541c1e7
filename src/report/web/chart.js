// A box that ECharts draws in: when it comes near the window, and again when size, theme or data
// change.
import {h} from "./dom.js";
import {echarts} from "./echarts.js";

// How far outside the window a chart may be and is drawn all the same.
const NEAR = "500px";

/** Makes the charts of a page, which share its theme and its paper. */
export const studioOf = (theme) => {
  const charts = new Map();
  const nearness = new IntersectionObserver(
    (entries) => {
      for (const {target, isIntersecting} of entries) charts.get(target)?.near(isIntersecting);
    },
    {rootMargin: `${NEAR} 0px`},
  );
  const sizes = new ResizeObserver((entries) => {
    for (const {target} of entries) charts.get(target)?.resized();
  });

  /**
   * A chart with a label for those who don't see it. The element's data-drawn counts its finished
   * drawings, data-stale marks that one is due.
   */
  const chart = (label, className) => {
    const element = h("div", {
      class: `chart ${className}`,
      role: "img",
      "aria-label": label,
      data: {drawn: "0"},
    });
    const drawn = [];
    let make = null,
      isNear = false,
      instance = null,
      hovered = null,
      shown = "";

    const begin = (width, height, devicePixelRatio) => {
      if (instance?.getDevicePixelRatio() !== devicePixelRatio) {
        instance?.dispose();
        instance = echarts.init(element, null, {renderer: "canvas", width, height, devicePixelRatio});
        instance
          .on("mousemove", ({data}) => {
            hovered = data;
          })
          .on("mouseout", () => {
            hovered = null;
          });
      }
      instance.resize({width, height});
    };
    const draw = () => {
      const {clientWidth: width, clientHeight: height} = element;
      if (!make || !width || !height) return;
      begin(width, height, theme.pixelRatio());
      instance.setOption(make(theme.look(), {width, height}), {notMerge: true});
      instance.getZr().flush();
      shown = `${width} ${height}`;
      delete element.dataset.stale;
      element.dataset.drawn = String(Number(element.dataset.drawn) + 1);
      for (const listener of drawn) listener();
    };
    const self = {
      element,
      /** Shows make(look, {width, height}), an option of ECharts, now or when the reader is near. */
      update: (next) => {
        make = next;
        self.redraw();
      },
      redraw: (isForced = false) => {
        if (make) element.dataset.stale = "1";
        if (isNear || isForced) draw();
      },
      near: (is) => {
        isNear = is;
        if (is && element.dataset.stale) draw();
      },
      resized: () => {
        if (shown && shown !== `${element.clientWidth} ${element.clientHeight}`) self.redraw();
      },
      label: (text) => element.setAttribute("aria-label", text),
      ondraw: (listener) => drawn.push(listener),
      /** What the pointer is over, as the option has it among a series' data; null for nothing. */
      hovered: () => hovered,
      /** The position of an event in the units of the axes, null outside of them. */
      under: (event) => {
        const at = [event.offsetX, event.offsetY];
        if (!instance?.containPixel({gridIndex: 0}, at)) return null;
        return instance.convertFromPixel({gridIndex: 0}, at);
      },
      /** Pixels of a position, null before the first drawing. */
      pixel: (at) => instance?.convertToPixel({gridIndex: 0}, at) ?? null,
    };
    charts.set(element, self);
    nearness.observe(element);
    sizes.observe(element);
    return self;
  };

  theme.listen(() => {
    for (const one of charts.values()) one.redraw(theme.isPaper());
  });
  /** Draws the first chart wherever it is, so that it is there when the reader comes. */
  const drawFirst = () => charts.values().next().value?.redraw(true);
  return {chart, drawFirst};
};
