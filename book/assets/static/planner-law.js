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
  const named = (row) => Object.fromEntries(data.names.map((name, i) => [name, row[i]]));
  const laws = Object.fromEntries(Object.entries(data.laws).map(([name, { law, members, range }]) =>
    [name, { law: named(law), members: members.map(named), range }]));

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

  // The training cost of a run, and of a dense one.
  const trainingFlops = (cost, S, N, D) => constants.per_datum * N * D * multiplier(cost, S);
  const denseFlops = (N, D) => constants.per_datum * N * D;

  // The law of a law file, as `laws` has it; throws a sentence for a file that holds none.
  const lawOf = (file, content) => {
    const refuse = (why) => {
      throw new Error(`${file}: this is not a law file (${why})`);
    };
    const { form, coefficients, ensemble = [], range } = content ?? {};
    if (!coefficients) refuse("'coefficients' is missing");
    if (form !== "joint") {
      throw new Error(`the law '${file}' is of the form '${form}', not a joint law, and says nothing of `
        + "what is asked: take a law of the form joint");
    }
    if (!range) {
      throw new Error(`the law '${file}' does not record the range it was fitted to, so nothing can be `
        + "said of extrapolation: fit it with `simlib fit --save`");
    }
    const member = (row) => {
      const law = named(row);
      if (!data.names.every((name) => Number.isFinite(law[name]))) refuse("a coefficient is not finite");
      const small = data.unsigned.find((name) => law[name] < 0 || (law[name] === 0 && data.exponents.includes(name)));
      if (small) refuse(`${small} is ${law[small]}, which is too small`);
      return law;
    };
    const ends = ["sparsity", "nonzero_params", "data_seen"].map((name) => range[name] ?? []);
    if (!ends.every(([low, high]) => low >= 0 && low <= high)) refuse("a range is not two numbers, the smaller one first");
    return { law: member(data.names.map((name) => coefficients[name])), members: ensemble.map(member), range };
  };

  return {
    laws, run, makePlan, contour, chinchillaFlops, denseFlops, trainingFlops, lossOf, optimalSparsity,
    interval, lawOf,
  };
};
