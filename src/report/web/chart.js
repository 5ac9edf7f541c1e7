// A box that ECharts draws in: when it comes near the window, and again when size, theme or data change.
import {h} from "./dom.js";
import {echarts} from "./echarts.js";

// How far below the window a chart may be and is drawn all the same.
const NEAR = "500px";

/** Makes charts for a page, which share its theme and its printing. */
export const studioOf = (theme, window) => {
  const charts = new Set();
  const byElement = new Map();
  const seen = new window.IntersectionObserver((entries) => {
    for (const entry of entries) byElement.get(entry.target)?.near(entry.isIntersecting);
  }, {rootMargin: `${NEAR} 0px`});
  const sized = new window.ResizeObserver((entries) => {
    for (const entry of entries) byElement.get(entry.target)?.draw();
  });

  theme.listen(() => {
    for (const chart of charts) chart.draw();
  });

  /**
   * A chart with a label for those who don't see it. `update(make)` shows make(look, {width, height}), an
   * option of ECharts, now or when the reader comes near; `label(text)` says what there is to see.
   * The element's data-drawn counts its finished drawings, data-stale marks that one is due.
   */
  const chart = (label, className = "") => {
    const element = h("div", {class: `chart ${className}`, role: "img", "aria-label": label,
      data: {drawn: "0"}});
    let make = null, isNear = false, instance = null;

    const drawNow = () => {
      const {clientWidth: width, clientHeight: height} = element;
      if (!make || !width || !height) return;
      instance ??= echarts.init(element, null, {renderer: "canvas", width, height});
      if (instance.getWidth() !== width || instance.getHeight() !== height) instance.resize({width, height});
      instance.setOption(make(theme.look(), {width, height}), {notMerge: true});
      instance.getZr().flush();
      delete element.dataset.stale;
      element.dataset.drawn = String(Number(element.dataset.drawn) + 1);
      for (const listener of self.afterDraw) listener();
    };
    const self = {
      element,
      afterDraw: [],
      near: (is) => {
        isNear = is;
        if (is && element.dataset.stale) drawNow();
      },
      draw: ({always = false} = {}) => {
        if (!make) return;
        element.dataset.stale = "1";
        if (isNear || always) drawNow();
      },
      update: (next) => {
        make = next;
        self.draw();
      },
      label: (text) => element.setAttribute("aria-label", text),
      /** ECharts' own object, null before the first drawing. */
      instance: () => instance,
      remove: () => {
        charts.delete(self);
        byElement.delete(element);
        seen.unobserve(element);
        sized.unobserve(element);
        instance?.dispose();
        element.remove();
      },
    };
    charts.add(self);
    byElement.set(element, self);
    seen.observe(element);
    sized.observe(element);
    return self;
  };

  return {
    chart,
    drawAll: () => {
      for (const one of charts) one.draw({always: true});
    },
  };
};
