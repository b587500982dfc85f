// How pages that compute show numbers, plans and charts: one way for all of them.
"use strict";
window.pageShown = (() => {
  const compact = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });
  const plain = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
  const quantity = (v) =>
    v >= 1e15 || v < 1e-3 ? v.toExponential(2).replace("+", "") : v < 1e3 ? plain.format(v) : compact.format(v);
  const percent = (v) => `${(100 * v).toFixed(1)}\u00a0%`;
  const nats = (v) => (v < 100 ? v.toFixed(4) : quantity(v));

  // A number as the reader sees it, with all its digits in the page.
  const exact = (value, text) => {
    const element = document.createElement("data");
    element.value = value;
    element.textContent = text;
    return element;
  };

  const WRITTEN = { S: percent, loss: nats };
  const INTERVAL_OF = { S: "S_interval", loss: "interval" };

  const fillCell = (cell, key, result) => {
    const write = WRITTEN[key] ?? quantity;
    cell.replaceChildren(result ? exact(result[key], write(result[key])) : "–");
    const ends = result?.[INTERVAL_OF[key]];
    if (!ends) return;
    const small = document.createElement("small");
    small.append(exact(ends[0], write(ends[0])), " to ", exact(ends[1], write(ends[1])));
    cell.append(" ", small);
  };

  // The runs of a plan in the cells of a table, each with `data-run` and `data-key`.
  const fillTable = (page, plan) => {
    for (const cell of page.querySelectorAll("td[data-run]")) {
      fillCell(cell, cell.dataset.key, plan.runs?.[cell.dataset.run]);
    }
  };

  // The best run of a plan, in words.
  const said = ({ affordable, serving, runs, multiple, flops, ahead, chosen }) => {
    if (!affordable) {
      return `Serving alone takes ${quantity(serving)} FLOP, all of the compute: raise the compute, `
        + "serve less, or choose a smaller model.";
    }
    const { S, S_interval } = runs.sparse;
    const ends = S_interval ? ` (${S_interval.map(percent).join(" to ")})` : "";
    const wins = S_interval ? `, ahead of the dense run in ${ahead} of ${chosen.members.length} refits` : "";
    const best = S > 0 ? `Best: ${percent(S)} sparse${ends}${wins}.` : `Best: dense${ends}.`;
    return `${best} Training gets ${quantity(flops)} FLOP, ${quantity(multiple)} times the dense `
      + "optimum of this size.";
  };

  // How far the best run of a plan lies outside the fitted runs; empty where it does not.
  const warned = ({ distance }) => {
    const far = Object.entries(distance ?? {}).filter(([, [value, limit]]) => value > limit);
    const parts = far.map(([name, [value]]) => `${quantity(value)} times ${name}`);
    return parts.length ? `The best run lies outside the fitted runs by ${parts.join(", ")}: the `
      + "law's form may be wrong out there, which no interval holds." : "";
  };

  // Fills the charts of the page with rows by the names of their data sets, also when they are
  // drawn again.
  const chartFiller = () => {
    const figures = [...document.querySelectorAll(".vega-figure")];
    let tables = {};
    const fill = (figure) => {
      const spec = JSON.parse(figure.querySelector(".vega-spec").textContent);
      for (const name of Object.keys(spec.datasets)) figure._view?.data(name, tables[name] ?? []);
      figure._view?.runAsync().then(() => {
        const numbers = figure.querySelector(".vega-numbers[open]");
        numbers?.dispatchEvent(new Event("toggle")); // its table is written when it opens
      });
    };
    const drawn = new MutationObserver((changes) => changes.forEach((c) => fill(c.target)));
    for (const figure of figures) drawn.observe(figure, { attributeFilter: ["data-ready"] });
    return (rows) => {
      tables = rows;
      figures.forEach(fill);
    };
  };

  return { quantity, percent, exact, fillTable, said, warned, chartFiller };
})();
