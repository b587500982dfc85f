// The planner page: shows the plan of its controls, draws it, and keeps the setting in the link.
"use strict";
(() => {
  const page = document.querySelector(".planner");
  const data = JSON.parse(page.querySelector("script[type='application/json']").textContent);
  const lib = window.plannerLaws(data);
  const { laws, run, senseless, makePlan, contour, chinchillaFlops, denseFlops, readLaw } = lib;
  const { whole, quantity, percent, said, warned, fillCells, figures, fill } = window.pageShown;
  const OWN = "own"; // the law that a reader brings; the list has it once it is there

  // ---- what the charts draw -----------------------------------------------------------------
  const range = (count, value) => Array.from({ length: count }, (_, i) => value(i));
  const SPARSITIES = range(100, (i) => i / 100);
  const SIZES = 13; // along each line of the map
  const MARGIN = 0.5; // decades at least that the map reaches beyond the fitted sizes and the point

  const curveRows = ({ chosen, cost, N, flops }, plan) => SPARSITIES
    .map((S) => run(chosen, cost, S, N, flops))
    .filter((found) => !senseless(chosen, N, found))
    .map(({ S, loss, interval: ends }) =>
      ({ plan, S, loss, low: ends?.[0] ?? null, high: ends?.[1] ?? null }));

  const NAMES = { dense: "dense", sparse: "best", two_four: "2:4" };
  const markRows = ({ runs }) => Object.entries(runs).map(([key, { S, loss, S_interval }]) => (
    { run: NAMES[key], S, loss, low_S: S_interval?.[0] ?? null, high_S: S_interval?.[1] ?? null }));

  const mapSizes = ({ chosen, N }) => {
    const logs = [N, ...chosen.range.nonzero_params].map(Math.log10);
    const low = Math.floor(Math.min(...logs) - MARGIN);
    const high = Math.ceil(Math.max(...logs) + MARGIN);
    return range(SIZES, (i) => 10 ** (low + ((high - low) * i) / (SIZES - 1)));
  };

  const contourRows = ({ chosen, cost }, sizes) => data.contours.flatMap((sparsity) => sizes.map(
    (N) => ({ sparsity, nonzero_params: N, flops: contour(chosen.law, cost, sparsity, N) })));

  const denseRows = ({ chosen }, sizes) =>
    sizes.map((N) => ({ nonzero_params: N, flops: chinchillaFlops(chosen.law, N) }));

  // What the dense runs behind the law cost, from the least to the most data.
  const fittedRows = ({ chosen: { range: { nonzero_params, data_seen } } }) => nonzero_params.map(
    (N) => ({ nonzero_params: N, low: denseFlops(N, data_seen[0]), high: denseFlops(N, data_seen[1]) }));

  // ---- words and numbers --------------------------------------------------------------------
  // A setting in words, as it is said above the kept plan.
  const inWords = ({ chosen, cost, N, setting }) => {
    const law = [...select.options].find((o) => o.value === setting.law).textContent;
    const serving = setting.served ? `, ${quantity(setting.served)} served` : "";
    return `${law}; ${quantity(N)} non-zero, ${quantity(10 ** setting.C)} FLOP, `
      + `${cost.name} cost${serving}`;
  };

  // The command that gives the same plan.
  const command = ({ chosen, cost, N, setting }) => {
    const short = (v) => Number(v.toPrecision(6)).toExponential().replace("+", "");
    return [
      "simlib plan", `--law ${setting.law === OWN ? "your_law.json" : setting.law}`,
      `--nonzero-params ${short(N)}`, `--flops ${short(10 ** setting.C)}`, `--cost ${cost.name}`,
      ...(setting.served ? [`--serve-tokens ${short(setting.served)}`] : []),
      ...(setting.speedup > 1 ? [`--speedup-24 ${setting.speedup}`] : []),
      `--max-sparsity ${data.constants.most_sparse}`,
    ].join(" ");
  };

  const fitted = ({ law }) => {
    const { nonzero_params, data_seen, sparsity } = laws[law].range;
    return `Fitted to runs of ${nonzero_params.map(quantity).join(" to ")} non-zero parameters on `
      + `${data_seen.map(quantity).join(" to ")} tokens or images, up to ${percent(sparsity[1])} sparse.`;
  };

  // ---- controls and the link ----------------------------------------------------------------
  const select = page.querySelector("select");
  const controls = [...page.querySelectorAll(".planner-controls select, .planner-controls input")];
  const names = [...new Set(controls.map((c) => c.name))];
  const value = (name) => {
    const same = controls.filter((c) => c.name === name);
    return (same.find((c) => c.checked) ?? same[0]).value;
  };
  let kept = null; // the setting of the plan that is kept, as it stands in a link

  const position = () => new URLSearchParams(names.map((name) => [name, value(name)]));
  const read = (at) => {
    const [N, C, served, speedup] = ["N", "C", "serve", "speedup"].map((name) => Number(at.get(name)));
    const tokens = served > page.querySelector("[name=serve]").min ? 10 ** served : 0; // left end: none
    return { law: at.get("law"), cost: at.get("cost"), N, C, served: tokens, speedup };
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

  // Every control from a link; what is missing or impossible there takes its default.
  const setControls = (asked) => {
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

  // Controls and kept plan from the link of the page.
  const restore = () => {
    const asked = new URLSearchParams(location.hash.slice(1));
    kept = null;
    if (asked.has("kept")) {
      setControls(new URLSearchParams(asked.get("kept")));
      kept = position().toString(); // what is impossible in it has taken its default
    }
    setControls(asked);
  };

  const remember = () => {
    const hash = position();
    if (kept) hash.set("kept", kept);
    history.replaceState(history.state, "", `#${hash}`);
  };

  // ---- drawing ------------------------------------------------------------------------------
  let timer;

  const showKept = (plan) => {
    for (const part of page.querySelectorAll(".planner-kept, .planner-drop")) part.hidden = !plan;
    if (!plan) return;
    fillCells(page, "kept", plan);
    page.querySelector(".planner-kept-said").textContent = inWords(plan);
  };

  const drawLoss = (plan, before) => {
    figures.curve.hidden = !plan.runs;
    if (!plan.runs) {
      figures.curve.dataset.ready ??= "refused";
      return;
    }
    const rows = curveRows(plan, "this");
    if (before?.runs) { // a line, without its interval
      rows.push(...curveRows({ ...before, chosen: { ...before.chosen, members: [] } }, "kept"));
    }
    fill(figures.curve, { curve: rows, runs: markRows(plan) });
  };

  const drawMap = (plan) => {
    const sizes = mapSizes(plan);
    const flops = plan.flops > 0 ? plan.flops : 10 ** plan.setting.C;
    fill(figures.fitted, {
      contours: contourRows(plan, sizes),
      dense: denseRows(plan, sizes),
      fitted: fittedRows(plan),
      point: [{ nonzero_params: plan.N, flops, run: "your point" }],
    });
  };

  const update = () => {
    const setting = read(position());
    const plan = makePlan(setting);
    const before = kept && makePlan(read(new URLSearchParams(kept)));
    showControls(setting);
    fillCells(page, "run", plan);
    showKept(before);
    page.querySelector(".planner-fitted").textContent = fitted(setting);
    page.querySelector(".planner-said").textContent = said(plan);
    page.querySelector(".planner-warned").textContent = warned(plan);
    page.querySelector(".planner-command").textContent = command(plan);
    drawLoss(plan, before);
    drawMap(plan);
  };

  const changed = () => {
    update();
    clearTimeout(timer);
    timer = setTimeout(remember, 150); // browsers refuse a link that changes too often
  };

  // To the largest dense run behind the law, without serving.
  const goToRuns = () => {
    const { nonzero_params: [, N], data_seen: [, D] } = laws[value("law")].range;
    const slider = (name) => page.querySelector(`[name=${name}]`);
    slider("N").value = Math.log10(N);
    slider("C").value = Math.log10(denseFlops(N, D));
    slider("serve").value = slider("serve").min;
    changed();
  };

  // To a dense run that people recognise.
  const goToPreset = ({ dataset: { n, c } }) => {
    page.querySelector("[name=N]").value = n;
    page.querySelector("[name=C]").value = c;
    changed();
  };

  // ---- the compute of devices -----------------------------------------------------------------
  const devices = page.querySelector(".planner-devices");
  const setDevices = () => {
    const told = devices.querySelector(".planner-devices-said");
    const [count, days, share] = [...devices.querySelectorAll("input")].map((field) => Number(field.value));
    const hours = 24 * count * days;
    const flops = 3600 * hours * Number(devices.querySelector("select").value) * (share / 100);
    if (!(flops > 0 && Number.isFinite(flops) && share <= 100)) {
      told.textContent = "Devices, days and the share of the peak are positive numbers, the share at most 100.";
      return;
    }
    page.querySelector("[name=C]").value = Math.log10(flops);
    changed();
    told.textContent = `${quantity(hours)} device-hours, ${quantity(flops)} FLOP.`;
  };
  devices.querySelector("button").addEventListener("click", setDevices);

  // ---- a law of the reader's own ------------------------------------------------------------
  const box = page.querySelector(".planner-own");
  const takeLaw = (text) => {
    const told = page.querySelector(".planner-own-said");
    try {
      laws[OWN] = readLaw(text);
    } catch (error) {
      told.textContent = `Not read: ${error.message}.`;
      return;
    }
    const option = select.querySelector(`[value=${OWN}]`) ?? new Option("", OWN);
    const { file, members, noise } = laws[OWN];
    const refits = members.length && noise !== null ? `${whole(members.length)} refits` : "no interval";
    option.textContent = `Your own: ${file} (${refits})`;
    select.append(option);
    option.selected = true;
    told.textContent = `Read: ${file}, ${refits}.`;
    goToRuns();
  };
  box.querySelector(".planner-read").addEventListener("click", () => takeLaw(box.querySelector("textarea").value));
  box.querySelector("[type=file]").addEventListener("change", async ({ target }) => {
    if (target.files.length) takeLaw(await target.files[0].text());
    target.value = ""; // so that the same file, changed, can be chosen again
  });
  page.addEventListener("dragover", (event) => event.preventDefault());
  page.addEventListener("drop", async (event) => {
    event.preventDefault();
    const [file] = event.dataTransfer.files;
    const text = file ? await file.text() : event.dataTransfer.getData("text");
    box.open = true;
    takeLaw(text);
  });

  page.querySelector(".planner-controls").addEventListener("input", changed);
  page.querySelector(".planner-runs").addEventListener("click", goToRuns);
  for (const button of page.querySelectorAll(".planner-presets button")) {
    button.addEventListener("click", () => goToPreset(button));
  }
  page.querySelector(".planner-keep").addEventListener("click", () => {
    kept = position().toString();
    changed();
  });
  page.querySelector(".planner-drop").addEventListener("click", () => {
    kept = null;
    changed();
  });
  addEventListener("hashchange", () => {
    if (!location.hash.includes("=")) return; // a heading of the page, not a setting
    clearTimeout(timer);
    restore();
    update();
  });
  restore();
  update();
})();
