// A damped Newton method for Huber fits of sums of exponentials, and the best of many starts, as in
// simlib.fit.newton and simlib.fit. The page and its worker both run this function.
"use strict";

/**
 * @typedef {Object} End  Where a start ends.
 * @property {Float64Array} theta  (k)
 * @property {number} value  the objective there
 * @property {boolean} converged
 */

/**
 * The functions of the solver.
 * @param {Object} law  what `fitLaw` returns
 * @param {Object} form  bounds and valleys of theta
 * @param {Object} settings  tolerances and limits, from simlib.fit
 */
self.fitSolver = (law, form, settings) => {
  const { k, blankPoint, valueAt, derivatives } = law;
  const { lower, upper, valleys } = form;
  const clip = (x, low, high) => (x < low ? low : x > high ? high : x);
  const blankModel = () => ({
    gradient: new Float64Array(k), hessian: new Float64Array(k * k), metric: new Float64Array(k * k),
  });
  const model = blankModel();
  const work = { low: new Float64Array(k * k), scaled: new Float64Array(k * k), pivot: new Float64Array(k) };

  // ---- one step -----------------------------------------------------------------------------
  // The Hessian made positive definite: `l d l'` with its pivots d taken by magnitude, and those
  // below a share of the metric's moved to that.
  const straighten = ({ hessian, metric }) => {
    const { low, scaled, pivot } = work;
    let changed = false;
    for (let i = 0; i < k; i += 1) {
      for (let j = 0; j <= i; j += 1) {
        let x = hessian[i * k + j];
        for (let c = 0; c < j; c += 1) x -= low[i * k + c] * scaled[j * k + c];
        if (j < i) {
          low[i * k + j] = x / pivot[j];
          scaled[i * k + j] = x;
        } else {
          const size = Math.max(Math.abs(x), settings.least * metric[i * k + i]);
          pivot[i] = x < 0 ? -size : size;
          low[i * k + i] = 1;
          changed ||= pivot[i] !== x || x < 0;
        }
      }
    }
    for (let i = 0; changed && i < k; i += 1) {
      for (let j = 0; j <= i; j += 1) {
        let x = 0;
        for (let c = 0; c <= j; c += 1) x += low[i * k + c] * low[j * k + c] * Math.abs(pivot[c]);
        hessian[i * k + j] = hessian[j * k + i] = x;
      }
    }
  };

  // The model without the coordinates that are held at a bound.
  const localise = (theta) => {
    const { gradient, hessian, metric } = model;
    for (let i = 0; i < k; i += 1) metric[i * k + i] += settings.ridge * metric[i * k + i] + 1e-150;
    for (let i = 0; i < k; i += 1) {
      const out = (theta[i] <= lower[i] && gradient[i] > 0) || (theta[i] >= upper[i] && gradient[i] < 0);
      if (!out) continue;
      for (let j = 0; j < k; j += 1) {
        hessian[i * k + j] = hessian[j * k + i] = metric[i * k + j] = metric[j * k + i] = 0;
      }
      gradient[i] = 0;
      hessian[i * k + i] = metric[i * k + i] = 1;
    }
    straighten(model);
  };

  // x = a^-1 x for a positive definite a (k, k), by its root; false where rounding makes it none.
  const solve = (a, x) => {
    const { low } = work;
    for (let i = 0; i < k; i += 1) {
      for (let j = 0; j <= i; j += 1) {
        let y = a[i * k + j];
        for (let c = 0; c < j; c += 1) y -= low[i * k + c] * low[j * k + c];
        if (i === j && !(y > 0)) return false;
        low[i * k + j] = i === j ? Math.sqrt(y) : y / low[j * k + j];
      }
    }
    for (let i = 0; i < k; i += 1) {
      for (let c = 0; c < i; c += 1) x[i] -= low[i * k + c] * x[c];
      x[i] /= low[i * k + i];
    }
    for (let i = k - 1; i >= 0; i -= 1) {
      for (let c = i + 1; c < k; c += 1) x[i] -= low[c * k + i] * x[c];
      x[i] /= low[i * k + i];
    }
    return true;
  };

  const damped = new Float64Array(k * k);

  // A descent step (k) at this damping; returns the fall of the objective that it promises.
  const descend = (damping, step) => {
    const { gradient, hessian, metric } = model;
    for (let i = 0; i < k * k; i += 1) damped[i] = hessian[i] + damping * metric[i];
    for (let i = 0; i < k; i += 1) step[i] = -gradient[i];
    if (!solve(damped, step)) {
      step.fill(0);
      return Infinity;
    }
    return -step.reduce((sum, x, i) => sum + x * gradient[i], 0);
  };

  // `theta + step`, taken along the straightened valleys and between the bounds, into `to`.
  const move = (theta, step, to) => {
    for (let i = 0; i < k; i += 1) to[i] = theta[i] + step[i];
    for (const [amplitude, exponent, floor] of valleys) {
      const e = Math.exp(theta[amplitude]);
      const b = theta[exponent];
      const g = Math.exp(theta[floor]);
      const ratio = clip(to[exponent] / b, 0.25, 4);
      const slopeChange = clip(step[amplitude] + step[exponent] / b, -3, 3);
      const valueChange = clip((e * step[amplitude] + g * step[floor]) / (e + g), -3, 3);
      const newE = (e * Math.exp(slopeChange)) / ratio;
      const newG = (e + g) * Math.exp(valueChange) - newE;
      const turns = lower[exponent] < 0 && to[exponent] * b <= 0; // a change of sign
      if (newG > 0 && !turns) {
        to[amplitude] = Math.log(newE);
        to[exponent] = ratio * b;
        to[floor] = Math.log(newG);
      }
    }
    for (let i = 0; i < k; i += 1) to[i] = clip(to[i], lower[i], upper[i]);
  };

  // ---- minima -------------------------------------------------------------------------------
  /**
   * The local minimum that a start leads to.
   *
   * It has converged when the next step promises a relative fall below the tolerance or no damping
   * finds a lower point.
   * @param {Object} problem
   * @param {Float64Array} weights  (runs)
   * @param {Float64Array} start  (k)
   * @param {{delta?: number, steps?: number}} options  delta in the unit of the residuals
   * @returns {End}
   */
  const minimise = (problem, weights, start, options = {}) => {
    const { delta = problem.delta, steps = settings.steps } = options;
    const point = blankPoint(problem.runs);
    const theta = Float64Array.from(start, (x, i) => clip(x, lower[i], upper[i]));
    const step = new Float64Array(k);
    const trial = new Float64Array(k);
    let value = valueAt(problem, weights, theta, delta, point);
    let { damping } = settings;
    let moved = true;
    let converged = false;
    for (let taken = 0; taken < steps && !converged; taken += 1) {
      if (moved) {
        derivatives(problem, weights, delta, point, model);
        localise(theta);
      }
      const promise = descend(damping, step);
      move(theta, step, trial);
      const found = valueAt(problem, weights, trial, delta, point);
      moved = found < value;
      damping *= moved ? settings.less : settings.more;
      if (moved) {
        theta.set(trial);
        value = found;
      }
      converged = promise <= settings.tolerance * value || damping > 1e10;
    }
    return { theta, value, converged };
  };

  /**
   * Random starts: amplitudes around the measured loss, exponents below 2.
   * @param {number[]} losses  (runs), nats
   * @param {number} count
   * @param {function(): number} random  uniform in [0, 1)
   * @returns {Float64Array[]}  (count) of (k)
   */
  const randomStarts = (losses, count, random) => {
    const sorted = Float64Array.from(losses).sort();
    const middle = (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
    const between = (low, high) => low + (high - low) * random();
    return Array.from({ length: count }, () => Float64Array.from(form.amplitudes, (amplitude) =>
      (amplitude ? Math.log(between(0.02, 0.7) * middle) : between(0.05, 1.5))));
  };

  /**
   * Random starts from a far wider range: terms that are nearly absent, any slope.
   * @param {number[]} losses  (runs), nats
   * @param {number} count
   * @param {function(): number} random  uniform in [0, 1)
   * @returns {Float64Array[]}  (count) of (k)
   */
  const wideStarts = (losses, count, random) => randomStarts(losses, count, random).map((start) =>
    start.map((value, i) => {
      if (form.amplitudes[i]) return value + 2 * Math.log(1 - random());
      return form.lower[i] < 0 ? 12 * random() - 6 : 0.02 * (5 / 0.02) ** random();
    }));

  const lowest = (ends) => ends.reduce((best, end) => (end.value < best.value ? end : best));
  const evenly = (runs) => new Float64Array(runs).fill(1 / runs);

  // The ends of starts, and of the optima that these have in a smoother objective.
  const more = (sample, starts) => {
    const end = (start, delta) => minimise(sample, evenly(sample.runs), start, { delta });
    const smooth = starts.map((start) => end(start, settings.smooth * sample.delta).theta);
    return [...starts, ...smooth].map((start) => end(start, sample.delta));
  };

  /**
   * The lowest end of the starts and the share of them that agrees with it.
   *
   * Where there are many runs, a sample of them decides which end is best. Where steps did not do,
   * only the best end goes on. Starts that do not all end at one point may all have missed the best:
   * then wide ones follow, each also by way of the optimum of a smoother objective.
   * @param {Object} problem
   * @param {Float64Array[]} starts
   * @param {function(number): Float64Array[]} wide  as many wide starts as it is asked for
   * @param {function(number): void} told  how many starts have ended
   * @returns {End & {agreeing: number}}
   */
  const optimum = (problem, starts, wide, told) => {
    const { many, agree, equal, nothing, long } = settings;
    const sampled = problem.runs > many;
    const places = Array.from({ length: many }, (_, i) => Math.floor((i * (problem.runs - 1)) / (many - 1)));
    const sample = sampled ? law.someRuns(problem, places) : problem;
    const first = starts.map((start, i) => {
      const end = minimise(sample, evenly(sample.runs), start);
      told(i + 1);
      return end;
    });
    const agreeing = (near, least) =>
      first.filter(({ value }) => value <= least * (1 + near) + nothing).length / first.length;
    const differ = agreeing(equal, lowest(first).value) < settings.agreement;
    const best = lowest(differ ? [...first, ...more(sample, wide(settings.wide * starts.length))] : first);
    const again = sampled || !best.converged;
    const last = again ? minimise(problem, evenly(problem.runs), best.theta, { steps: long }) : best;
    return { ...last, agreeing: agreeing(agree, best.value) };
  };

  return { minimise, randomStarts, wideStarts, optimum };
};
