// How pages that compute show numbers, plans and charts: one way for all of them.
"use strict";
window.pageShown = (() => {
  const compact = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });
  const plain = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
  const whole = new Intl.NumberFormat("en").format;
  const quantity = (v) =>
    v >= 1e15 || v < 1e-3 ? v.toExponential(2).replace("+", "") : v < 1e3 ? plain.format(v) : compact.format(v);
  const percent = (v) => `${(100 * v).toFixed(1)}%`;
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

  // The runs of a plan in the cells of a table, each with `data-run` (or another name) and `data-key`.
  const fillCells = (page, name, { runs }) => {
    for (const cell of page.querySelectorAll(`td[data-${name}]`)) {
      fillCell(cell, cell.dataset.key, runs?.[cell.dataset[name]]);
    }
  };

  const refused = ({ serving, senseless, chosen, smallest }) => {
    if (!senseless) {
      return `Serving alone takes ${quantity(serving)} FLOP, all of the compute: raise the compute, `
        + "serve less, or choose a smaller model.";
    }
    const { D, loss } = senseless;
    return D < smallest
      ? `The compute pays for ${quantity(D)} tokens or images only, on which no model is trained: `
        + "raise the compute or choose a smaller model."
      : `The law predicts a loss of ${nats(loss)}, and guessing alone has ${nats(chosen.chance)}: so `
        + "far from its runs it means nothing. Raise the compute or choose a smaller model.";
  };

  // The best run of a plan in words, or why there is none.
  const said = (plan) => {
    if (!plan.runs) return refused(plan);
    const { runs, multiple, flops, ahead, chosen } = plan;
    const { S, S_interval } = runs.sparse;
    const ends = S_interval ? ` (${S_interval.map(percent).join(" to ")})` : "";
    const wins = S_interval ? `, ahead of the dense run in ${whole(ahead)} of ${whole(chosen.members.length)} refits` : "";
    const best = S > 0 ? `Best: ${percent(S)} sparse${ends}${wins}.` : `Best: dense${ends}.`;
    return `${best} Training gets ${quantity(flops)} FLOP, ${quantity(multiple)} times the dense `
      + "optimum of this size.";
  };

  // Why nothing should rest on the law, and how far the best run lies outside the fitted runs.
  const warned = ({ distance, chosen }) => {
    const weak = chosen.why_not ? `Let nothing rest on this law: ${chosen.why_not}. ` : "";
    const far = Object.entries(distance ?? {}).filter(([, [value, limit]]) => value > limit);
    const parts = far.map(([name, [value]]) => `${quantity(value)} times ${name}`);
    return weak + (parts.length ? `The best run lies outside the fitted runs by ${parts.join(", ")}: the `
      + "law's form may be wrong out there, which no interval holds." : "");
  };

  // The charts of the page by the names of the rows that they draw.
  const figures = Object.fromEntries([...document.querySelectorAll(".vega-figure")].flatMap((figure) => {
    const { datasets } = JSON.parse(figure.querySelector(".vega-spec").textContent);
    return Object.keys(datasets).map((name) => [name, figure]);
  }));

  const fill = (figure, rows) => {
    figure.rows = rows; // a chart that is not ready to draw yet finds them there
    figure.dispatchEvent(new Event("fill"));
  };

  return { whole, quantity, percent, nats, exact, fillCells, said, warned, figures, fill };
})();
