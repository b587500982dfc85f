// What the planner page computes: a plan from a law and its ensemble, with the formulas of simlib.
// `plannerLaws(data)` gives the functions that planner.js shows; nothing here touches the page.
"use strict";
window.plannerLaws = (data) => {
  const { costs, constants } = data;
  const TAILS = [(1 - data.level) / 2, (1 + data.level) / 2];

  // ---- the law, as in simlib.laws.law and simlib.laws.optimum -------------------------------
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
  const ready = ({ names, ...law }) => {
    const named = (row) => Object.fromEntries(names.map((n, i) => [n, row[i]]));
    return { ...law, law: named(law.law), members: law.members.map(named) };
  };
  const laws = Object.fromEntries(Object.entries(data.laws).map(([name, l]) => [name, ready(l)]));

  // Share of the standard normal distribution below x: Hart's rational approximation of 1968, to
  // about 1e-15 (West, Better approximations to cumulative normal functions, 2005).
  const HART = [
    [3.52624965998911e-2, 0.700383064443688, 6.37396220353165, 33.912866078383, 112.079291497871,
      221.213596169931, 220.206867912376],
    [8.83883476483184e-2, 1.75566716318264, 16.064177579207, 86.7807322029461, 296.564248779674,
      637.333633378831, 793.826512519948, 440.413735824752],
  ];
  const horner = (terms, z) => terms.reduce((sum, term) => sum * z + term, 0);
  const normalBelow = (x) => {
    const z = Math.abs(x);
    const density = Math.exp((-z * z) / 2);
    const tail = z < 7.07106781186547
      ? (density * horner(HART[0], z)) / horner(HART[1], z)
      : density / (z + 1 / (z + 2 / (z + 3 / (z + 4 / (z + 0.65))))) / 2.506628274631;
    return x > 0 ? 1 - tail : tail;
  };

  // Quantile of equally likely normals with these means and one deviation: Newton, kept within a
  // bracket that every step narrows.
  const mixtureQuantile = (means, noise, share) => {
    let low = Infinity;
    let high = -Infinity;
    for (const mean of means) {
      low = Math.min(low, mean);
      high = Math.max(high, mean);
    }
    [low, high] = [low - 8 * noise, high + 8 * noise];
    let at = 0.5 * (low + high);
    for (let i = 0; i < 80 && high - low > 1e-13 * (1 + Math.abs(at)); i += 1) {
      let below = -share;
      let slope = 0;
      for (const mean of means) {
        const z = (at - mean) / noise;
        below += normalBelow(z) / means.length;
        slope += Math.exp((-z * z) / 2) / (means.length * noise * 2.5066282746310002);
      }
      if (below < 0) low = at;
      else high = at;
      const next = at - below / slope;
      if (Math.abs(next - at) < 1e-13) break;
      at = next > low && next < high ? next : 0.5 * (low + high);
    }
    return at;
  };

  // Interval of the loss of a single run, widened as runs held out of a fit demand: as
  // `simlib.simulate.forecast` has it. null without an ensemble or without the residuals' scatter.
  const lossInterval = ({ members, noise, widen }, loss, S, N, D) => {
    if (!members.length || noise === null) return null;
    const logs = Float64Array.from(members, (m) => Math.log(lossOf(m, S, N, D)));
    const ends = noise > 0
      ? TAILS.map((share) => mixtureQuantile(logs, noise, share))
      : interval(Array.from(logs), (v) => v);
    return ends.map((end) => loss * Math.exp(widen * (end - Math.log(loss))));
  };

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
  // One run: what it is, what it is worth and what it loses, with the interval of its loss.
  const run = (chosen, cost, S, N, flops) => {
    const { law } = chosen;
    const D = dataSeen(cost, S, N, flops);
    const loss = lossOf(law, S, N, D);
    return {
      S, D, S_interval: null, dense_params: N / (1 - S), equivalent: worth(law, S) * N,
      loss, interval: lossInterval(chosen, loss, S, N, D),
    };
  };

  // Whether a prediction means nothing, as in simlib.simulate.sense.
  const senseless = ({ chance }, N, { D, loss }) =>
    N < constants.smallest || D < constants.smallest || (chance !== null && loss > chance);

  const makePlan = (setting) => {
    const chosen = laws[setting.law];
    const cost = costs[setting.cost];
    const N = 10 ** setting.N;
    const serving = constants.per_served * N * setting.served;
    const flops = 10 ** setting.C - serving;
    const { smallest } = constants;
    const plan = { chosen, cost, N, serving, flops, setting, smallest, runs: null, senseless: null };
    if (!(flops > 0)) return plan;
    const best = optimalSparsity(chosen.law, cost, N, flops);
    const share = constants.two_four_share;
    const twoFour = { dense_share: 1 - share + share / setting.speedup, sparse_share: 0 };
    const runs = {
      dense: run(chosen, cost, 0, N, flops),
      sparse: run(chosen, cost, best, N, flops),
      two_four: run(chosen, twoFour, 0.5, N, flops),
    };
    plan.senseless = Object.values(runs).find((r) => senseless(chosen, N, r)) ?? null;
    if (plan.senseless) return plan;
    const { dense, sparse } = runs;
    sparse.S_interval = interval(chosen.members, (m) => optimalSparsity(m, cost, N, flops));
    return {
      ...plan, runs,
      multiple: flops / chinchillaFlops(chosen.law, N),
      ahead: chosen.members.filter(
        (m) => lossOf(m, sparse.S, N, sparse.D) < lossOf(m, 0, N, dense.D)).length,
      distance: distanceOf(chosen.range, sparse.S, N, sparse.D),
    };
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

  // The training cost of a run, and of a dense one.
  const trainingFlops = (cost, S, N, D) => constants.per_datum * N * D * multiplier(cost, S);
  const denseFlops = (N, D) => constants.per_datum * N * D;

  // ---- a reader's own law -------------------------------------------------------------------
  // The law of a law file's text, as `simlib fit --save` writes one. Throws an Error whose message
  // is a sentence for the reader, for what is no such file.
  const readLaw = (text) => {
    let file;
    try {
      file = JSON.parse(text);
    } catch {
      throw new Error("that is no JSON: give a law file, as simlib fit --save writes it");
    }
    const { names } = Object.values(data.laws)[0];
    if (file?.form !== "joint") throw new Error("that is no file of a joint law: its form must be \"joint\"");
    const numbers = (row, what) => {
      const fits = Array.isArray(row) && row.length === names.length && row.every(Number.isFinite);
      if (!fits) throw new Error(`${what} is not ${names.length} numbers: ${names.join(", ")}`);
      names.forEach((name, i) => {
        const least = name === "b_S" ? -Infinity : 0;
        if (row[i] < least || (row[i] === 0 && ["b_N", "b_D"].includes(name))) {
          throw new Error(`${what} has ${name} = ${row[i]}, which is too small`);
        }
      });
      return row;
    };
    const ends = (name) => {
      const pair = file.range?.[name];
      const fits = Array.isArray(pair) && pair.length === 2 && pair.every(Number.isFinite)
        && pair[0] >= 0 && pair[0] <= pair[1] && (name === "sparsity" ? pair[1] < 1 : pair[0] > 0);
      if (!fits) throw new Error(`the file does not say the range of ${name} of its runs, as two numbers`);
      return pair;
    };
    const ensemble = file.ensemble ?? [];
    if (!Array.isArray(ensemble)) throw new Error("the ensemble is no list of members");
    const table = typeof file.made?.table === "string" ? file.made.table : "";
    const unsettled = file.status === "converged" ? "" : `its fit has the status '${file.status}', not 'converged'`;
    const known = (values) => (Object.hasOwn(values, table) ? values[table] : null);
    return ready({
      names,
      law: numbers(names.map((name) => file.coefficients?.[name]), "the law"),
      members: ensemble.map((row, i) => numbers(row, `member ${i + 1}`)),
      range: Object.fromEntries(
        ["sparsity", "nonzero_params", "data_seen"].map((name) => [name, ends(name)])),
      noise: Number.isFinite(file.log_rmse) && file.log_rmse >= 0 ? file.log_rmse : null,
      widen: known(data.widening) ?? 1,
      chance: known(data.chance),
      why_not: ensemble.length ? unsettled : "it has no ensemble, so nothing that follows from it has an interval",
      file: typeof file.name === "string" && file.name ? file.name : "your law",
    });
  };

  return {
    laws, run, senseless, makePlan, contour, chinchillaFlops, denseFlops, trainingFlops, lossOf,
    optimalSparsity, interval, readLaw,
  };
};
