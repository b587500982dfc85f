// A fit in a worker, so that the page stays at hand: what runs there, and how the page starts it. A
// page that was opened as a file may not load a worker from a file, so the worker is made of the
// text of the functions that the page has loaded.
"use strict";
(() => {
  const EVERY = 50; // milliseconds between two words on progress

  /**
   * What the worker does: one fit, as `simlib.fit.fit` does it, told of as it goes on.
   * @param {Object} scope  the worker, or a stand-in with `postMessage`
   */
  self.fitWorker = (scope) => {
    scope.onmessage = ({ data: { form, settings, asked, every } }) => {
      const law = scope.fitLaw(form);
      const solver = scope.fitSolver(law, form, settings);
      const bootstrap = scope.fitBootstrap(solver, form, settings);
      let last = 0;
      const told = (stage, done, total) => {
        if (done < total && Date.now() - last < every) return;
        last = Date.now();
        scope.postMessage({ stage, done, total });
      };
      const { columns, objective, starts, resamples, group, seed } = asked;
      const random = bootstrap.generator(seed);
      const problem = law.makeProblem(columns, objective);
      const cold = solver.randomStarts(columns.L, starts, random);
      const wide = (count) => solver.wideStarts(columns.L, count, random);
      const best = solver.optimum(problem, cold, wide, (done) => told("starts", done, starts));
      const weights = bootstrap.resampledRuns(bootstrap.GROUPS[group](columns), resamples, random);
      const ends = resamples ? bootstrap.refit(problem, weights, best.theta, cold, told) : [];
      scope.postMessage({
        found: {
          theta: best.theta,
          value: best.value,
          converged: best.converged,
          agreeing: best.agreeing,
          coefficients: law.coefficients(best.theta, problem.units),
          members: ends.map(({ theta }) => Object.values(law.coefficients(theta, problem.units))),
          convergedMembers: ends.filter((end) => end.converged).length,
        },
      });
    };
  };

  /**
   * Start a fit.
   * @param {Object} data  form and settings of the fit
   * @param {Object} asked  columns, objective, starts, resamples, group and seed
   * @param {{told: function(Object), found: function(Object), failed: function(string)}} hear
   * @returns {function(): void}  stops it
   */
  self.startFit = ({ form, settings }, asked, hear) => {
    const parts = ["fitLaw", "fitSolver", "fitBootstrap", "fitWorker"];
    const text = parts.map((name) => `self.${name} = ${self[name]};`).join("\n");
    const address = URL.createObjectURL(new Blob([`"use strict";\n${text}\nfitWorker(self);`], { type: "text/javascript" }));
    const worker = new Worker(address);
    const stop = () => {
      worker.terminate();
      URL.revokeObjectURL(address);
    };
    worker.onmessage = ({ data: { found, ...progress } }) => {
      if (!found) {
        hear.told(progress);
        return;
      }
      stop();
      hear.found(found);
    };
    worker.onerror = ({ message }) => {
      stop();
      hear.failed(message);
    };
    worker.postMessage({ form, settings, asked, every: EVERY });
    return stop;
  };
})();
