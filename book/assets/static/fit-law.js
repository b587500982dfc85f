// The joint law as a fit sees it, its objective and the derivatives of that, as in simlib.laws.law,
// simlib.laws.form and simlib.fit. The page and its worker both run this function, so it needs
// nothing but its arguments.
"use strict";

/**
 * @typedef {Object} Columns  Runs as columns of equal length.
 * @property {number[]} S  fraction of zero weights
 * @property {number[]} N  non-zero parameters
 * @property {number[]} D  tokens or images seen
 * @property {number[]} L  loss in nats
 *
 * @typedef {Object} Problem  Runs as sums of terms `exp(x . theta)`.
 * @property {number} runs  how many
 * @property {Float64Array} design  (runs, entries): the x that are not zero
 * @property {Float64Array} target  (runs): nats, or their logarithm
 * @property {boolean} log  whether residuals are of the log loss
 * @property {number} delta  where the Huber loss turns linear, in the unit of the residuals
 * @property {{log_N: number, log_D: number}} units  logarithms of the N and D that count as 1
 *
 * @typedef {Object} Point  What is known of the runs at a theta.
 * @property {Float64Array} parts  (runs, terms): the terms, in nats
 * @property {Float64Array} total  (runs): their sum, in nats
 * @property {Float64Array} residual  (runs): predicted minus measured, in the unit of the target
 */

/**
 * The functions of the law.
 * @param {{names: string[]}} form  coefficients in the order of theta
 */
self.fitLaw = (form) => {
  const k = form.names.length;

  // Terms of the law by what each coefficient is multiplied with; s = ln(1 - S), n and d are the
  // logarithms of N and D in the units of the fit. Amplitudes enter by their logarithms.
  const rows = (s, n, d) => [
    { a_S: 1, b_S: s, b_N: -n },
    { c_S: 1, b_N: -n },
    { a_D: 1, b_D: -d },
    { c: 1 },
  ];
  const layout = rows(0, 0, 0).map((row) => Object.keys(row).map((name) => form.names.indexOf(name)));
  const terms = layout.length;
  const coordinate = Int32Array.from(layout.flat());
  const entries = coordinate.length;
  const first = Int32Array.from([0, ...layout.keys()].map((_, t) =>
    layout.slice(0, t).reduce((sum, row) => sum + row.length, 0)));

  const mean = (values) => values.reduce((sum, v) => sum + v, 0) / values.length;

  /**
   * The problem of fitting the law to runs.
   * @param {Columns} columns
   * @param {{delta: number, log: boolean}} objective  delta in nats, or of the log loss
   * @returns {Problem}
   */
  const makeProblem = ({ S, N, D, L }, { delta, log }) => {
    const units = { log_N: mean(N.map(Math.log)), log_D: mean(D.map(Math.log)) };
    const design = Float64Array.from(S.flatMap((sparsity, i) => rows(
      Math.log1p(-sparsity), Math.log(N[i]) - units.log_N, Math.log(D[i]) - units.log_D,
    ).flatMap(Object.values)));
    const target = Float64Array.from(log ? L.map(Math.log) : L);
    return { runs: S.length, design, target, log, delta, units };
  };

  /**
   * Some of a problem's runs.
   * @param {Problem} problem
   * @param {number[]} keep  their places
   * @returns {Problem}
   */
  const someRuns = (problem, keep) => ({
    ...problem,
    runs: keep.length,
    design: Float64Array.from(keep.flatMap((i) => [...problem.design.subarray(i * entries, (i + 1) * entries)])),
    target: Float64Array.from(keep, (i) => problem.target[i]),
  });

  /**
   * Room for what is known at a theta.
   * @param {number} runs
   * @returns {Point}
   */
  const blankPoint = (runs) => ({
    parts: new Float64Array(runs * terms), total: new Float64Array(runs), residual: new Float64Array(runs),
  });

  /**
   * The objective at theta, the weighted mean Huber loss; `point` is filled where weights are not 0.
   * @param {Problem} problem
   * @param {Float64Array} weights  (runs), adding up to 1
   * @param {Float64Array} theta  (k)
   * @param {number} delta  as in Problem
   * @param {Point} point
   * @returns {number}
   */
  const valueAt = (problem, weights, theta, delta, point) => {
    const { runs, design, target, log } = problem;
    const { parts, total, residual } = point;
    let value = 0;
    for (let i = 0; i < runs; i += 1) {
      const weight = weights[i];
      if (weight === 0) continue;
      let sum = 0;
      for (let t = 0, e = 0; t < terms; t += 1) {
        let x = 0;
        for (; e < first[t + 1]; e += 1) x += theta[coordinate[e]] * design[i * entries + e];
        sum += parts[i * terms + t] = Math.exp(Math.min(x, 600));
      }
      const off = (log ? Math.log(sum) : sum) - target[i];
      const size = Math.abs(off);
      const inner = Math.min(size, delta);
      value += weight * inner * (size - 0.5 * inner);
      total[i] = sum;
      residual[i] = off;
    }
    return value;
  };

  const slope = new Float64Array(k);

  // What one run adds to the Hessian for the curvature of its terms, and its slopes (k).
  const addTerms = (problem, point, i, psi, scale, hessian) => {
    const { design } = problem;
    slope.fill(0);
    for (let t = 0; t < terms; t += 1) {
      const share = point.parts[i * terms + t] * scale;
      for (let e = first[t]; e < first[t + 1]; e += 1) {
        const x = share * design[i * entries + e];
        slope[coordinate[e]] += x;
        const pull = psi * x;
        for (let f = e; f < first[t + 1]; f += 1) {
          hessian[coordinate[e] * k + coordinate[f]] += pull * design[i * entries + f];
        }
      }
    }
  };

  /**
   * Gradient (k), Hessian and reweighted Gauss-Newton matrix (k, k) where `valueAt` has just been.
   * @param {Problem} problem
   * @param {Float64Array} weights  (runs)
   * @param {number} delta  as in Problem
   * @param {Point} point
   * @param {{gradient: Float64Array, hessian: Float64Array, metric: Float64Array}} model  is filled
   */
  const derivatives = (problem, weights, delta, point, { gradient, hessian, metric }) => {
    gradient.fill(0);
    hessian.fill(0);
    metric.fill(0);
    for (let i = 0; i < problem.runs; i += 1) {
      const weight = weights[i];
      if (weight === 0) continue;
      const off = point.residual[i];
      const size = Math.abs(off);
      const psi = weight * Math.min(Math.max(off, -delta), delta);
      const bend = (size <= delta ? weight : 0) - (problem.log ? psi : 0);
      const again = weight * Math.min(1, delta / Math.max(size, 1e-300));
      addTerms(problem, point, i, psi, problem.log ? 1 / point.total[i] : 1, hessian);
      for (let a = 0; a < k; a += 1) {
        gradient[a] += psi * slope[a];
        const bent = bend * slope[a];
        const reweighted = again * slope[a];
        for (let b = a, at = a * k + a; b < k; b += 1, at += 1) {
          hessian[at] += bent * slope[b];
          metric[at] += reweighted * slope[b];
        }
      }
    }
    for (let a = 0; a < k; a += 1) {
      for (let b = 0; b < a; b += 1) {
        hessian[a * k + b] = hessian[b * k + a];
        metric[a * k + b] = metric[b * k + a];
      }
    }
  };

  /**
   * The coefficients of a theta in raw units (parameters, tokens or images, nats), by name.
   * @param {Float64Array} theta  (k)
   * @param {{log_N: number, log_D: number}} units
   * @returns {Object<string, number>}
   */
  const coefficients = (theta, { log_N, log_D }) => {
    const own = Object.fromEntries(form.names.map((name, i) => [name, theta[i]]));
    return {
      a_S: Math.exp(own.a_S + log_N * own.b_N),
      b_S: own.b_S,
      c_S: Math.exp(own.c_S + log_N * own.b_N),
      b_N: own.b_N,
      a_D: Math.exp(Math.min(own.a_D / own.b_D + log_D, 700)),
      b_D: own.b_D,
      c: Math.exp(own.c),
    };
  };

  return { k, makeProblem, someRuns, blankPoint, valueAt, derivatives, coefficients };
};
