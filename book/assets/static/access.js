// What scrolls sideways can be reached by keyboard: tables, code and formulas wider than the page.
"use strict";
(() => {
  const WIDE = ".bd-article table, .bd-article pre, .bd-article div.math, .cell_output .output, .vega-target";
  const mark = () => {
    for (const box of document.querySelectorAll(WIDE)) {
      const scrolls = box.scrollWidth > box.clientWidth + 1
        && getComputedStyle(box).overflowX !== "visible";
      if (scrolls) box.tabIndex = 0;
      else if (box.tabIndex === 0 && box.dataset.scrolls) box.removeAttribute("tabindex");
      box.toggleAttribute("data-scrolls", scrolls);
    }
  };
  addEventListener("load", mark);
  addEventListener("resize", mark);
  new MutationObserver(mark).observe(document.body, { subtree: true, attributeFilter: ["data-ready"] });
})();
