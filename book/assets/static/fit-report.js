// What is said of a fit, and the law file that holds it, as in simlib.fit.fittedlaw and
// simlib.fit.diagnosis. Nothing here touches the page.
"use strict";

/**
 * The functions that report a fit.
 * @param {Object} data  what `simlib.pages.your_fit.page_data` hands over
 * @param {Object} tools  `lossOf` and `interval` of `plannerLaws`, `general` of `fitTable`
 */
self.fitReport = (data, { lossOf, interval, general }) => {
  const { form, level } = data;
  const share = (value) => `${(100 * value).toFixed(0)}%`;

  // ---- what is said -------------------------------------------------------------------------
  const statusOf = ({ theta, converged }) => {
    if (!converged) return "not converged";
    const held = (x, i) => x <= form.lower[i] || x >= form.upper[i] || (form.amplitudes[i] && x < data.absent);
    return theta.some(held) ? "at bound" : "converged";
  };

  /**
   * Why the runs do not identify a coefficient; empty where they do.
   * @param {string} name
   * @param {number[]} ends  of its interval over the refits, in its own unit
   * @returns {string}
   */
  const unidentified = (name, [low, high]) => {
    const [least, most] = [Math.abs(low), Math.abs(high)].sort((a, b) => a - b);
    if (!((low <= 0 && high > 0) || most > data.wide * least)) return "";
    return `${name} is not identified by these runs: its ${share(level)} bootstrap interval runs from `
      + `${general(low, 3)} to ${general(high, 3)}`;
  };

  const tooFew = ({ convergedMembers, members }) => convergedMembers < data.enough * members.length;

  const warningsOf = (found, intervals) => {
    const { agreeing, convergedMembers, members } = found;
    return [
      statusOf(found) === "not converged" && "the fit did not converge: its coefficients mean nothing",
      statusOf(found) === "at bound" && "the fit ends at a bound: its coefficients have no bootstrap interval there, "
        + "and simlib fit gives one-sided profile intervals",
      agreeing < data.settings.agreement && `only ${share(agreeing)} of ${data.starts} starts agree on the best objective`,
      tooFew(found) && `only ${convergedMembers} of ${members.length} refits of resampled runs converged: `
        + "their intervals mean little",
      ...Object.entries(intervals).map(([name, ends]) => unidentified(name, ends)),
    ].filter(Boolean);
  };

  /**
   * Why nothing should rest on a fit; empty where something may.
   * @param {Object} found  what the worker found
   * @returns {string}
   */
  const whyNot = (found) => {
    const status = statusOf(found);
    if (!found.members.length) return "it has no ensemble, so nothing that follows from it has an interval";
    if (status === "at bound") {
      return "its fit ends at a bound of a coefficient, where the runs do not hold it back";
    }
    if (status !== "converged") return `its fit has the status '${status}', not 'converged'`;
    if (!tooFew(found)) return "";
    return `only ${found.convergedMembers} of its ${found.members.length} refits of resampled runs converged`;
  };

  // ---- the law file -------------------------------------------------------------------------
  const rangeOf = ({ S, N, D }) => {
    const ends = (values) => values.reduce(
      ([low, high], v) => [Math.min(low, v), Math.max(high, v)], [Infinity, -Infinity]);
    return { sparsity: ends(S), nonzero_params: ends(N), data_seen: ends(D) };
  };

  const logResiduals = (coefficients, { S, N, D, L }) =>
    L.map((loss, i) => Math.log(lossOf(coefficients, S[i], N[i], D[i])) - Math.log(loss));

  /**
   * A fit as a law file has it.
   * @param {string} name  of the law
   * @param {Object} asked  columns, objective, seed
   * @param {Object} found  what the worker found
   * @param {Object<string, string>} made  how the file was made
   * @returns {Object}
   */
  const lawFile = (name, { columns, objective, seed }, found, made) => {
    const off = logResiduals(found.coefficients, columns);
    const worst = off.reduce((at, r, i) => (Math.abs(r) > Math.abs(off[at]) ? i : at), 0);
    const given = found.members.length && statusOf(found) !== "at bound";
    const intervals = given ? Object.fromEntries(form.names.map(
      (key, i) => [key, interval(found.members, (member) => member[i])])) : {};
    const digits = (value) => Number(value.toPrecision(data.significant));
    return {
      name,
      form: form.name,
      coefficients: found.coefficients,
      huber: objective,
      runs: off.length,
      range: rangeOf(columns),
      objective: found.value,
      status: statusOf(found),
      members: found.members.length,
      converged_members: found.convergedMembers,
      agreeing: found.agreeing,
      starts: data.starts,
      log_rmse: Math.sqrt(off.reduce((sum, r) => sum + r * r, 0) / off.length),
      worst: { row: worst, log_residual: off[worst] },
      level,
      intervals,
      profile_intervals: {},
      quantities: {},
      warnings: warningsOf(found, intervals),
      seed,
      made,
      ...(found.members.length && { ensemble: found.members.map((member) => member.map(digits)) }),
    };
  };

  /**
   * A law file as text: one line a key and one line a member, so that a diff can be read.
   * @param {Object} file
   * @returns {string}
   */
  const textOf = (file) => {
    const value = (key, held) => (key === "ensemble"
      ? `[\n  ${held.map((member) => JSON.stringify(member)).join(",\n  ")}\n ]` : JSON.stringify(held));
    const lines = Object.entries(file).map(([key, held]) => `${JSON.stringify(key)}: ${value(key, held)}`);
    return `{\n ${lines.join(",\n ")}\n}\n`;
  };

  return { lawFile, textOf, whyNot, unidentified, logResiduals };
};
