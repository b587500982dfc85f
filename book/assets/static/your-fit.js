// The page that fits a reader's own runs: reads the table and the controls, starts the fit, shows
// what it found, and saves it.
"use strict";
(() => {
  const page = document.querySelector(".yourfit");
  const data = JSON.parse(page.querySelector("script[type='application/json']").textContent);
  const { InputError, cells, decoded, readRuns, general } = window.fitTable(data.rules);
  const noLaws = window.plannerLaws({ ...data.planner, laws: {} });
  const report = window.fitReport(data, { ...noLaws, general });
  const { exact, fillCells, said, warned, figures, fill } = window.pageShown;

  const PASTED = "pasted.csv"; // what a table without a file is called
  const EXAMPLE = "example.csv";
  const ROWS = 4; // of the table that are shown
  const fields = Object.keys(data.labels);
  const find = (name) => page.querySelector(`.yourfit-${name}`);
  const control = (name) => page.querySelector(`#yourfit-${name}`);

  let table = null; // name, text and SHA-256 of what was brought
  let fitted = null; // the law file, and the columns behind it
  let stop = null; // the fit that is under way

  const say = (name, text) => {
    find(name).textContent = text;
  };

  // Runs what may refuse, and shows the sentence if it does.
  const refusing = (action) => {
    say("refused", "");
    try {
      return action();
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      say("refused", error.message);
      return null;
    }
  };

  // The charts stand in cells of their own and wait for a fit, as the result does.
  const charts = [...document.querySelectorAll(".vega-figure")].map((figure) => figure.closest(".cell") ?? figure);
  const showResult = (yes) => {
    for (const part of [find("result"), ...charts]) part.hidden = !yes;
  };

  // ---- the table ----------------------------------------------------------------------------
  const rowOf = (values, tag) => {
    const row = document.createElement("tr");
    row.append(...values.map((value) => Object.assign(document.createElement(tag), { textContent: value })));
    return row;
  };

  const showRows = (rows) => {
    const shown = document.createElement("table");
    shown.append(rowOf(rows[0], "th"), ...rows.slice(1, ROWS + 1).map((row) => rowOf(row, "td")));
    find("rows").replaceChildren(shown);
  };

  // Offer the columns of the table; those under the book's own names are found already.
  const offerColumns = (header) => {
    const options = header.map((name) => Object.assign(document.createElement("option"), { value: name }));
    page.querySelector("#yourfit-names").replaceChildren(...options);
    for (const field of fields) control(field).value = header.includes(field) ? field : "";
  };

  // The SHA-256 of bytes, where the browser computes it: not on a page that came without encryption.
  const digest = async (bytes) => {
    if (!window.crypto.subtle) return null;
    const hash = new Uint8Array(await window.crypto.subtle.digest("SHA-256", bytes));
    return [...hash].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  };

  // What was found of another table is not shown beside a new one.
  const bring = async (name, bytes) => {
    const sha256 = await digest(bytes);
    table = null;
    halt();
    showResult(false);
    refusing(() => {
      const text = decoded(name, bytes);
      const rows = cells(text);
      table = { name, text, sha256 };
      if (!rows.length) return;
      showRows(rows);
      offerColumns(rows[0].map((value) => value.trim()));
    });
  };

  const bringText = (name, text) => bring(name, new TextEncoder().encode(text));
  const bringFile = async (file) => file && bring(file.name, await file.arrayBuffer());

  const bringExample = async () => {
    await bringText(EXAMPLE, data.example.text);
    for (const field of fields) control(field).value = data.example.columns[field];
  };

  // ---- the controls -------------------------------------------------------------------------
  const wholeNumber = (name, most) => {
    const value = Number(control(name).value);
    if (control(name).value !== "" && Number.isInteger(value) && value >= 0 && value <= most) return value;
    throw new InputError(`${name} is a whole number from 0 to ${general(most)}, got ${control(name).value || "nothing"}`);
  };

  const positive = (name, text) => {
    const value = Number(text);
    if (text.trim() !== "" && value > 0 && Number.isFinite(value)) return value;
    throw new InputError(`${name} must be positive and finite, got ${text.trim() || "nothing"}`);
  };

  const writtenColumns = () => Object.fromEntries(fields.map((field) => [field, control(field).value]));

  const readSettings = () => ({
    objective: { delta: positive("--delta", control("delta").value), log: control("log").value === "log" },
    starts: data.starts,
    resamples: wholeNumber("resamples", Number(control("resamples").max)),
    group: control("group").value,
    seed: wholeNumber("seed", Number.MAX_SAFE_INTEGER),
  });

  // ---- the fit ------------------------------------------------------------------------------
  const running = (yes) => {
    find("stop").hidden = find("progress").hidden = !yes;
    find("fit").disabled = yes;
    if (!yes) say("stage", "");
  };

  const told = ({ stage, done, total }) => {
    find("progress").value = done / total;
    say("stage", `${stage}: ${done} of ${total}`);
  };

  const halt = () => {
    stop?.();
    stop = null;
    running(false);
  };

  const start = () => refusing(() => {
    halt();
    showResult(false);
    if (!table) throw new InputError("there is no table yet: drop a file, choose one or paste its rows");
    const columns = readRuns(table.name, table.text, writtenColumns(), data.form);
    const asked = { columns, ...readSettings() };
    const source = { ...table, written: writtenColumns() };
    running(true);
    stop = window.startFit(data, asked, {
      told,
      found: (result) => {
        halt();
        show(asked, source, result);
      },
      failed: (message) => {
        halt();
        say("refused", `the fit ended early: ${message}`);
      },
    });
  });

  // ---- what was found -----------------------------------------------------------------------
  // An argument as a shell reads it.
  const argument = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\"'\"'")}'`);

  // The command that makes the same fit.
  const commandOf = ({ objective, resamples, seed }, { name, written }) => {
    const pairs = Object.entries(written).filter(([, column]) => column.trim());
    const columns = pairs.map((pair) => pair.join("=")).join(",");
    return ["simlib", "fit", "--runs", name, "--columns", columns,
      "--delta", String(objective.delta), objective.log ? "--log" : "--raw",
      "--resamples", String(resamples), "--seed", String(seed)].map(argument).join(" ");
  };

  const made = ({ group }, { name, sha256 }) => ({
    command: `the page "Fit your own runs here", drawn whole: ${group}`,
    table: name,
    ...(sha256 && { table_sha256: sha256 }),
    date: new Date().toISOString().slice(0, 10),
    simlib: data.version,
  });

  const coefficientRow = (name, file) => {
    const ends = file.intervals[name];
    const row = rowOf([name, "", "", ""], "td");
    const [, estimate, interval, verdict] = row.cells;
    estimate.append(exact(file.coefficients[name], general(file.coefficients[name], 5)));
    if (!ends) return row;
    interval.append(exact(ends[0], general(ends[0], 4)), " to ", exact(ends[1], general(ends[1], 4)));
    verdict.textContent = report.unidentified(name, ends) ? "not identified" : "identified";
    return row;
  };

  const summaryOf = (file, why) => `${file.runs} runs, ${file.status}: ${(100 * file.agreeing).toFixed(0)}% of `
    + `${file.starts} starts agree, and the runs scatter about the law by ${(100 * file.log_rmse).toFixed(2)}%.`
    + `${why ? ` This law decides nothing: ${why}.` : ""}`;

  const showFile = (file, found) => {
    say("said", summaryOf(file, report.whyNot(found)));
    find("coefficients").replaceChildren(...data.form.names.map((name) => coefficientRow(name, file)));
    find("warnings").replaceChildren(...file.warnings.map(
      (text) => Object.assign(document.createElement("li"), { textContent: text })));
  };

  const residualRows = ({ S, N, D, L }, off) => off.map((r, i) => ({
    sparsity: S[i], nonzero_params: N[i], data_seen: D[i], measured: L[i],
    predicted: L[i] * Math.exp(r), residual: Math.expm1(r),
  }));

  const show = (asked, source, found) => {
    const name = source.name.replace(/\.[^.]*$/, "");
    const file = report.lawFile(name, asked, found, made(asked, source));
    const row = (coefficients) => data.form.names.map((name) => coefficients[name]);
    const law = {
      names: data.form.names, law: row(file.coefficients), members: found.members, range: file.range,
      noise: file.log_rmse, widen: 1, chance: null, why_not: report.whyNot(found),
    };
    const planner = window.plannerLaws({ ...data.planner, laws: { yours: law } });
    const residuals = residualRows(asked.columns, report.logResiduals(file.coefficients, asked.columns));
    fitted = { file, planner, residuals, columns: asked.columns };
    showFile(file, found);
    say("draws", asked.group === "runs" ? "" : ", which draws single runs");
    say("command", commandOf(asked, source));
    control("size").value = String(file.range.nonzero_params[1]);
    control("flops").value = planner.denseFlops(file.range.nonzero_params[1], file.range.data_seen[1]).toPrecision(3);
    showResult(true);
    showBest();
  };

  // ---- the best sparsity --------------------------------------------------------------------
  const DECADES = 2; // that its chart reaches on both sides of the compute
  const POINTS = 41;

  const optimumRows = (planner, cost, N, flops) => Array.from({ length: POINTS }, (_, i) => {
    const at = flops * 10 ** (DECADES * ((2 * i) / (POINTS - 1) - 1));
    const { law, members } = planner.laws.yours;
    const [low, high] = planner.interval(members, (m) => planner.optimalSparsity(m, cost, N, at)) ?? [null, null];
    return { flops: at, S: planner.optimalSparsity(law, cost, N, at), low, high };
  });

  const dearest = (planner, cost, { S, N, D }) =>
    S.reduce((most, s, i) => Math.max(most, planner.trainingFlops(cost, s, N[i], D[i])), 0);

  const showBest = () => refusing(() => {
    const { planner, residuals, columns } = fitted;
    const N = positive("nonzero_params", control("size").value);
    const flops = positive("flops", control("flops").value);
    const chosen = page.querySelector("[name=cost]:checked").value;
    const plan = planner.makePlan({
      law: "yours", cost: chosen, N: Math.log10(N), C: Math.log10(flops), served: 0, speedup: 1,
    });
    say("best", `${said(plan)} ${warned(plan)}`);
    fillCells(page, "run", plan);
    fill(figures.runs, { runs: residuals });
    fill(figures.optima, {
      optima: optimumRows(planner, plan.cost, N, flops),
      reach: [{ flops: dearest(planner, plan.cost, columns) }],
    });
  });

  // ---- saving -------------------------------------------------------------------------------
  const save = () => {
    const blob = new Blob([report.textOf(fitted.file)], { type: "application/json" });
    const link = Object.assign(document.createElement("a"), {
      href: URL.createObjectURL(blob), download: `${fitted.file.name}.json`,
    });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };

  // ---- hands --------------------------------------------------------------------------------
  const drop = find("drop");
  const over = (yes) => (event) => {
    event.preventDefault();
    drop.classList.toggle("over", yes);
  };
  drop.addEventListener("dragover", over(true));
  drop.addEventListener("dragleave", over(false));
  drop.addEventListener("drop", (event) => {
    over(false)(event);
    bringFile(event.dataTransfer.files[0]);
  });
  control("file").addEventListener("change", async ({ target }) => {
    await bringFile(target.files[0]);
    target.value = ""; // so that the same file, changed, can be chosen again
  });
  control("text").addEventListener("input", ({ target }) => bringText(PASTED, target.value));
  find("example").addEventListener("click", bringExample);
  find("fit").addEventListener("click", start);
  find("stop").addEventListener("click", halt);
  find("save").addEventListener("click", save);
  find("result").addEventListener("input", showBest);
  showResult(false);
})();
