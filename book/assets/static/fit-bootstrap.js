// Refits of resampled runs, each at its own optimum, as in simlib.fit.bootstrap, and the groups of
// runs that are drawn whole, as in simlib.runs.cells. The page and its worker both run this function.
"use strict";

/**
 * The functions of the bootstrap.
 * @param {Object} solver  what `fitSolver` returns
 * @param {Object} form  bounds of theta
 * @param {Object} settings  limits, from simlib.fit and simlib.runs.cells
 */
self.fitBootstrap = (solver, form, settings) => {
  const { minimise } = solver;

  // ---- chance -------------------------------------------------------------------------------
  /**
   * Uniform numbers in [0, 1), the same for the same seed: sfc32 (C. Doty-Humphrey, PractRand).
   * @param {number} seed  a whole number
   * @returns {function(): number}
   */
  const generator = (seed) => {
    let [a, b, c, count] = [0x9e3779b9, Math.floor(seed / 2 ** 32) | 0, seed | 0, 1];
    const next = () => {
      const found = (a + b + count) | 0;
      count = (count + 1) | 0;
      a = b ^ (b >>> 9);
      b = (c + (c << 3)) | 0;
      c = ((c << 21) | (c >>> 11)) + found | 0;
      return (found >>> 0) / 2 ** 32;
    };
    for (let i = 0; i < 20; i += 1) next();
    return next;
  };

  // ---- groups of runs -----------------------------------------------------------------------
  // Number of each value's group, ascending; a group begins beyond `width` from its least value.
  const grouped = (values, width) => {
    const known = [...new Set(values)].sort((a, b) => a - b);
    const numbers = new Map();
    let least = -Infinity;
    let number = -1;
    for (const value of known) {
      if (value - least > width) {
        least = value;
        number += 1;
      }
      numbers.set(value, number);
    }
    return values.map((value) => numbers.get(value));
  };

  // Number of each distinct key, in order of first appearance.
  const numbered = (keys) => {
    const known = new Map();
    return keys.map((key) => {
      if (!known.has(key)) known.set(key, known.size);
      return known.get(key);
    });
  };

  const sizes = (N) => grouped(N.map(Math.log), Math.log1p(settings.same_size));
  const sparsities = (S) =>
    grouped(S.map((s) => -Math.log1p(-s) + (s > 0 ? 1 : 0)), Math.log1p(settings.same_density));

  /**
   * What is drawn whole: the number of each run's group.
   *
   * Runs of one curve share sparsity and size, those of one cell their data too.
   */
  const GROUPS = {
    runs: ({ S }) => S.map((_, i) => i),
    cells: ({ S, N, D }) => {
      const [s, n] = [sparsities(S), sizes(N)];
      return numbered(D.map((d, i) => `${s[i]} ${n[i]} ${d}`));
    },
    curves: ({ S, N }) => {
      const [s, n] = [sparsities(S), sizes(N)];
      return numbered(S.map((_, i) => `${s[i]} ${n[i]}`));
    },
  };

  /**
   * Weights of the runs in resampled tables: groups drawn with replacement, each as a whole.
   * @param {number[]} group  (runs)
   * @param {number} members  how many tables
   * @param {function(): number} random
   * @returns {Float64Array[]}  (members) of (runs), each adding up to 1
   */
  const resampledRuns = (group, members, random) => {
    const count = group.reduce((most, g) => Math.max(most, g), 0) + 1;
    return Array.from({ length: members }, () => {
      const drawn = new Float64Array(count);
      for (let i = 0; i < count; i += 1) drawn[Math.floor(random() * count)] += 1;
      const sum = group.reduce((total, g) => total + drawn[g], 0);
      return Float64Array.from(group, (g) => drawn[g] / sum);
    });
  };

  // ---- refits -------------------------------------------------------------------------------
  const better = (mine, other) => (other.value <= mine.value ? other : mine);

  // The better of an end and that of a start with the amplitudes raised that came close to 0:
  // these have no slope left in their logarithm, so no step would raise them again.
  const fromLifted = (problem, weights, end) => {
    const gone = (x, i) => x < settings.gone && form.lower[i] < 2 * settings.gone;
    if (!end.theta.some(gone)) return end;
    const start = end.theta.map((x, i) => (gone(x, i) ? settings.lifted : x));
    return better(end, minimise(problem, weights, start));
  };

  // From the fit of the whole table, from the table's own least squares, and from there lifted.
  const fromNear = (problem, weights, theta) => {
    const near = minimise(problem, weights, theta);
    const own = minimise(problem, weights, theta, { delta: settings.least_squares });
    return fromLifted(problem, weights, better(near, minimise(problem, weights, own.theta)));
  };

  // Places of some members, spread over all of them.
  const probes = (first, members) => {
    const low = Math.min(first, members - 1);
    const places = Array.from({ length: settings.probes }, (_, i) =>
      Math.floor(low + (i * (members - 1 - low)) / (settings.probes - 1)));
    return [...new Set(places)];
  };

  // The better of the ends and those of cold starts, as long as that lowers some of a few.
  const fromCold = (problem, weights, ends, cold, told) => {
    let found = ends;
    for (let round = 0; round < settings.rounds; round += 1) {
      const tried = (i) => minimise(problem, weights[i], cold[(i + round) % cold.length], { steps: settings.long });
      const few = new Map(probes(round, ends.length).map((i) => [i, tried(i)]));
      const lower = [...few].filter(([i, end]) =>
        end.value < found[i].value * (1 - settings.agree) - settings.nothing);
      if (lower.length / few.size <= settings.some) break;
      found = found.map((end, i) => {
        told(i + 1);
        return better(end, few.get(i) ?? tried(i));
      });
    }
    return found;
  };

  /**
   * The optimum of each resampled table, the best of several starts.
   * @param {Object} problem
   * @param {Float64Array[]} weights  (members) of (runs)
   * @param {Float64Array} theta  (k), the fit of the whole table
   * @param {Float64Array[]} cold  random starts, (starts) of (k)
   * @param {function(string, number, number): void} told  what is done, how many, of how many
   * @returns {Object[]}  an End for each member
   */
  const refit = (problem, weights, theta, cold, told) => {
    const members = weights.length;
    const near = weights.map((own, i) => {
      const end = fromNear(problem, own, theta);
      told("resampled runs", i + 1, members);
      return end;
    });
    const ends = fromCold(problem, weights, near, cold, (done) => told("cold starts", done, members));
    return ends.map((end, i) => (end.converged
      ? end : better(end, minimise(problem, weights[i], end.theta, { steps: settings.long }))));
  };

  return { generator, GROUPS, resampledRuns, refit };
};
