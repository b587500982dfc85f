// The planner page: computes a plan from a law and its ensemble, with the formulas of simlib.
"use strict";
(() => {
  const page = document.querySelector(".planner");
  const data = JSON.parse(page.querySelector("script[type='application/json']").textContent);
  const { costs, constants } = data;
  const TAILS = [(1 - data.level) / 2, (1 + data.level) / 2];

  // ---- the law, as in simlib.law and simlib.optimum -----------------------------------------
  const sparsityFactor = (law, S) => law.a_S * Math.pow(1 - S, law.b_S) + law.c_S;

  const lossOf = (law, S, N, D) =>
    sparsityFactor(law, S) * Math.pow(N, -law.b_N) + Math.pow(law.a_D / D, law.b_D) + law.c;

  const worth = (law, S) => Math.pow(sparsityFactor(law, S) / (law.a_S + law.c_S), -1 / law.b_N);

  const multiplier = (cost, S) => cost.dense_share / (1 - S) + cost.sparse_share;

  const dataSeen = (cost, S, N, flops) => flops / (constants.per_datum * N * multiplier(cost, S));

  // Where (N, C) lies across the parallel lines of equal optimal sparsity.
  const position = (law, N, flops) => {
    const perParameter = Math.log(flops) - Math.log(constants.per_datum * N);
    const gain = Math.max(law.a_S * law.b_S, 1e-300);
    const balance = Math.log(law.b_D) + law.b_D * Math.log(law.a_D) - Math.log(gain);
    return balance + law.b_N * Math.log(N) - law.b_D * perParameter;
  };

  const curve = (law, cost, logDensity) => {
    const bend = Math.log(cost.dense_share * Math.exp(-logDensity) + cost.sparse_share);
    return (law.b_S + 1) * logDensity + (1 - law.b_D) * bend - Math.log(cost.dense_share);
  };

  const curveSlope = (law, cost, logDensity) => {
    const dense = cost.dense_share * Math.exp(-logDensity);
    return law.b_S + 1 - ((1 - law.b_D) * dense) / (dense + cost.sparse_share);
  };

  const clip = (value, low, high) => Math.min(Math.max(value, low), high);
  // The S of least loss at N non-zero parameters and a training cost: Newton on a monotone curve.
  const optimalSparsity = (law, cost, N, flops) => {
    if (!(law.a_S * law.b_S > 0)) return 0; // sparsity gains nothing
    const target = position(law, N, flops);
    let logDensity = (target + Math.log(cost.dense_share)) / (law.b_S + law.b_D);
    if (cost.sparse_share > 0) {
      logDensity = clip(logDensity, -700, 0);
      for (let i = 0; i < 60; i += 1) {
        const step = (curve(law, cost, logDensity) - target) / curveSlope(law, cost, logDensity);
        logDensity = clip(logDensity - step, -700, 50);
        if (Math.abs(step) < 1e-13 * (1 + Math.abs(logDensity))) break;
      }
    }
    return 0 - Math.expm1(Math.min(logDensity, 0));
  };

  // The training cost at which S is optimal for N.
  const contour = (law, cost, S, N) =>
    Math.exp((position(law, N, 1) - curve(law, cost, Math.log1p(-S))) / law.b_D);

  // The training cost for which N is the compute-optimal dense size.
  const chinchillaFlops = (law, N) => {
    const A = law.a_S + law.c_S;
    const logB = law.b_D * Math.log(law.a_D);
    const logD = Math.log(law.b_D) + logB - Math.log(law.b_N * A) + law.b_N * Math.log(N);
    return constants.per_datum * N * Math.exp(logD / law.b_D);
  };

  // ---- the ensemble -------------------------------------------------------------------------
  const laws = Object.fromEntries(Object.entries(data.laws).map(([name, { names, ...law }]) => {
    const named = (row) => Object.fromEntries(names.map((n, i) => [n, row[i]]));
    return [name, { ...law, law: named(law.law), members: law.members.map(named) }];
  }));

  // Central interval of a quantity over the members of an ensemble; null without one.
  const interval = (members, quantity) => {
    if (!members.length) return null;
    const sorted = Float64Array.from(members, quantity).sort();
    return TAILS.map((share) => {
      const place = share * (sorted.length - 1);
      const low = Math.floor(place);
      const next = sorted[Math.min(low + 1, sorted.length - 1)];
      return sorted[low] + (place - low) * (next - sorted[low]);
    });
  };

  // ---- the plan -----------------------------------------------------------------------------
  const range = (count, value) => Array.from({ length: count }, (_, i) => value(i));
  const SPARSITIES = range(100, (i) => i / 100);
  const SIZES = range(13, (i) => 10 ** (6 + i / 2));

  // One run: what it is, what it is worth and what it loses, with the interval of its loss.
  const run = ({ law, members }, cost, S, N, flops) => {
    const D = dataSeen(cost, S, N, flops);
    return {
      S, D, S_interval: null, dense_params: N / (1 - S), equivalent: worth(law, S) * N,
      loss: lossOf(law, S, N, D), interval: interval(members, (m) => lossOf(m, S, N, D)),
    };
  };

  const makePlan = (setting) => {
    const chosen = laws[setting.law];
    const cost = costs[setting.cost];
    const N = 10 ** setting.N;
    const serving = constants.per_served * N * setting.served;
    const flops = 10 ** setting.C - serving;
    const plan = { chosen, cost, N, serving, flops, affordable: flops > 0 };
    if (!plan.affordable) return plan;
    const best = optimalSparsity(chosen.law, cost, N, flops);
    const share = constants.two_four_share;
    const twoFour = { dense_share: 1 - share + share / setting.speedup, sparse_share: 0 };
    plan.runs = {
      dense: run(chosen, cost, 0, N, flops),
      sparse: run(chosen, cost, best, N, flops),
      two_four: run(chosen, twoFour, 0.5, N, flops),
    };
    const { dense, sparse } = plan.runs;
    sparse.S_interval = interval(chosen.members, (m) => optimalSparsity(m, cost, N, flops));
    plan.multiple = flops / chinchillaFlops(chosen.law, N);
    plan.ahead = chosen.members.filter(
      (m) => lossOf(m, sparse.S, N, sparse.D) < lossOf(m, 0, N, dense.D)).length;
    plan.distance = distanceOf(chosen.range, sparse.S, N, sparse.D);
    return plan;
  };

  // Factors by which a run lies outside the fitted range, as in simlib.simulate.forecast.
  const distanceOf = ({ sparsity, nonzero_params, data_seen }, S, N, D) => {
    const outside = (value, [low, high]) => Math.max(value / high, low / value, 1);
    return {
      "in size": [outside(N, nonzero_params), constants.far_size_or_data],
      "in data": [outside(D, data_seen), constants.far_size_or_data],
      "in density": [outside(1 - S, [1 - sparsity[1], 1 - sparsity[0]]), constants.far_density],
      "in compute": [(N * D) / (nonzero_params[1] * data_seen[1]), constants.far_compute],
    };
  };

  const curveRows = ({ chosen, cost, N, flops }) => SPARSITIES.map((S) => {
    const { loss, interval: ends } = run(chosen, cost, S, N, flops);
    return { S, loss, low: ends?.[0] ?? null, high: ends?.[1] ?? null };
  });

  const NAMES = { dense: "dense", sparse: "best", two_four: "2:4" };
  const markRows = ({ runs }) => Object.entries(runs).map(([key, { S, loss, S_interval }]) => (
    { run: NAMES[key], S, loss, low_S: S_interval?.[0] ?? null, high_S: S_interval?.[1] ?? null }));

  const contourRows = ({ chosen, cost }) => data.contours.flatMap((sparsity) => SIZES.map((N) => (
    { sparsity, nonzero_params: N, flops: contour(chosen.law, cost, sparsity, N) })));

  // ---- words and numbers --------------------------------------------------------------------
  const compact = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });
  const plain = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
  const quantity = (v) =>
    v >= 1e15 || v < 1e-3 ? v.toExponential(2).replace("+", "") : v < 1e3 ? plain.format(v) : compact.format(v);
  const percent = (v) => `${(100 * v).toFixed(1)}\u00a0%`;
  const nats = (v) => (v < 100 ? v.toFixed(4) : quantity(v));
  const WRITTEN = { S: percent, loss: nats };
  const INTERVAL_OF = { S: "S_interval", loss: "interval" };

  // A number as the reader sees it, with all its digits in the page.
  const exact = (value, text) => {
    const element = document.createElement("data");
    element.value = value;
    element.textContent = text;
    return element;
  };

  const fillCell = (cell, key, result) => {
    const write = WRITTEN[key] ?? quantity;
    cell.replaceChildren(result ? exact(result[key], write(result[key])) : "–");
    const ends = result?.[INTERVAL_OF[key]];
    if (!ends) return;
    const small = document.createElement("small");
    small.append(exact(ends[0], write(ends[0])), " to ", exact(ends[1], write(ends[1])));
    cell.append(" ", small);
  };

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

  const warned = ({ distance }) => {
    const far = Object.entries(distance ?? {}).filter(([, [value, limit]]) => value > limit);
    const parts = far.map(([name, [value]]) => `${quantity(value)} times ${name}`);
    return parts.length ? `The best run lies outside the fitted runs by ${parts.join(", ")}: the `
      + "law's form may be wrong out there, which no interval holds." : "";
  };

  // ---- controls and the link ----------------------------------------------------------------
  const controls = [...page.querySelectorAll("select, input")];
  const value = (name) => {
    const same = controls.filter((c) => c.name === name);
    return (same.find((c) => c.checked) ?? same[0]).value;
  };

  const readSetting = () => {
    const [N, C, served, speedup] = ["N", "C", "serve", "speedup"].map((name) => Number(value(name)));
    const tokens = served > page.querySelector("[name=serve]").min ? 10 ** served : 0; // left end: none
    return { law: value("law"), cost: value("cost"), N, C, served: tokens, speedup };
  };

  const SHOWN = {
    N: ({ N }) => quantity(10 ** N),
    C: ({ C }) => `${quantity(10 ** C)} FLOP`,
    serve: ({ served }) => (served ? quantity(served) : "none"),
    speedup: ({ speedup }) => `${speedup.toFixed(2)} ×`,
  };

  const showControls = (setting) => {
    for (const slider of page.querySelectorAll("input[type=range]")) {
      const text = SHOWN[slider.name](setting);
      slider.nextElementSibling.textContent = text;
      slider.setAttribute("aria-valuetext", text);
    }
  };

  // Every control from the link; what is missing or impossible there takes its default.
  const restore = () => {
    const asked = new URLSearchParams(location.hash.slice(1));
    for (const control of controls) {
      const wanted = asked.get(control.name);
      if (control.type === "radio") {
        const known = controls.some((c) => c.name === control.name && c.value === wanted);
        control.checked = known ? control.value === wanted : control.defaultChecked;
      } else if (control.type === "range") {
        const fits = /^-?\d+(\.\d+)?$/.test(wanted ?? "") && wanted >= Number(control.min)
          && wanted <= Number(control.max);
        control.value = fits ? wanted : control.defaultValue;
      } else {
        const options = [...control.options];
        const known = options.find((o) => o.value === wanted);
        (known ?? options.find((o) => o.defaultSelected)).selected = true;
      }
    }
  };

  const remember = () => {
    const names = [...new Set(controls.map((c) => c.name))];
    const hash = new URLSearchParams(names.map((name) => [name, value(name)]));
    history.replaceState(history.state, "", `#${hash}`);
  };

  // ---- drawing ------------------------------------------------------------------------------
  const figures = [...document.querySelectorAll(".vega-figure")];
  let tables = {};
  let timer;

  const fillChart = (figure) => {
    const spec = JSON.parse(figure.querySelector(".vega-spec").textContent);
    for (const name of Object.keys(spec.datasets)) figure._view?.data(name, tables[name]);
    figure._view?.runAsync().then(() => {
      const numbers = figure.querySelector(".vega-numbers[open]");
      numbers?.dispatchEvent(new Event("toggle")); // its table is written when it opens
    });
  };

  const update = () => {
    const setting = readSetting();
    const plan = makePlan(setting);
    showControls(setting);
    for (const cell of page.querySelectorAll("td[data-run]")) {
      fillCell(cell, cell.dataset.key, plan.runs?.[cell.dataset.run]);
    }
    page.querySelector(".planner-said").textContent = said(plan);
    page.querySelector(".planner-warned").textContent = warned(plan);
    const point = { nonzero_params: plan.N, flops: plan.flops, run: "your point" };
    tables = {
      curve: plan.affordable ? curveRows(plan) : [],
      runs: plan.affordable ? markRows(plan) : [],
      contours: contourRows(plan),
      dense: SIZES.map((N) => ({ nonzero_params: N, flops: chinchillaFlops(plan.chosen.law, N) })),
      point: plan.affordable ? [point] : [],
    };
    figures.forEach(fillChart);
  };

  page.addEventListener("input", () => {
    update();
    clearTimeout(timer);
    timer = setTimeout(remember, 150); // browsers refuse a link that changes too often
  });
  addEventListener("hashchange", () => {
    if (!location.hash.includes("=")) return; // a heading of the page, not a setting
    clearTimeout(timer);
    restore();
    update();
  });
  const drawn = new MutationObserver((changes) => changes.forEach((c) => fillChart(c.target)));
  for (const figure of figures) drawn.observe(figure, { attributeFilter: ["data-ready"] });
  restore();
  update();
})();
