// Paper is light, as wide as it is, and shows what a window would draw only when scrolled to.

const foldedOnes = () => [...document.querySelectorAll("details.printed:not([open])")];

/** prepare() computes what charts need, and is done when all else is: a printer does not wait. */
export const hookPrinting = (theme, prepare) => {
  let opened = [];
  const begin = () => {
    if (theme.isPaper()) return;
    opened = foldedOnes();
    for (const details of opened) details.open = true;
    theme.paper(true);
  };
  const end = () => {
    if (!theme.isPaper()) return;
    for (const details of opened) details.open = false;
    theme.paper(false);
  };
  window.addEventListener("beforeprint", begin);
  window.addEventListener("afterprint", end);
  window.matchMedia("print").addEventListener("change", ({matches}) => (matches ? begin() : end()));
  const whenIdle = window.requestIdleCallback ?? ((task) => setTimeout(task, 500));
  whenIdle(prepare);
};
