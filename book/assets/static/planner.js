// The planner page: shows the plan of its controls, draws it, and keeps the setting in the link.
"use strict";
(() => {
  const page = document.querySelector(".planner");
  const data = JSON.parse(page.querySelector("script[type='application/json']").textContent);
  const { laws, run, makePlan, contour, chinchillaFlops, denseFlops, lawOf } = window.plannerLaws(data);
  const { quantity, percent, said, warned, fillTable, chartFiller } = window.pageShown;

  // ---- what the charts draw -----------------------------------------------------------------
  const range = (count, value) => Array.from({ length: count }, (_, i) => value(i));
  const SPARSITIES = range(100, (i) => i / 100);
  const SIZES = 13; // along each line of the map
  const MARGIN = 0.5; // decades at least that the map reaches beyond the fitted sizes and the point

  const curveRows = ({ chosen, cost, N, flops }) => SPARSITIES.map((S) => {
    const { loss, interval: ends } = run(chosen, cost, S, N, flops);
    return { S, loss, low: ends?.[0] ?? null, high: ends?.[1] ?? null };
  });

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
  const fitted = ({ law }) => {
    const { nonzero_params, data_seen, sparsity } = laws[law].range;
    return `Fitted to runs of ${nonzero_params.map(quantity).join(" to ")} non-zero parameters on `
      + `${data_seen.map(quantity).join(" to ")} tokens or images, up to ${percent(sparsity[1])} sparse.`;
  };

  // ---- controls and the link ----------------------------------------------------------------
  const controls = [...page.querySelectorAll("select, input:not([type=file])")];
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
  const fillCharts = chartFiller();
  let timer;

  const update = () => {
    const setting = readSetting();
    const plan = makePlan(setting);
    showControls(setting);
    fillTable(page, plan);
    page.querySelector(".planner-fitted").textContent = fitted(setting);
    page.querySelector(".planner-said").textContent = said(plan);
    page.querySelector(".planner-warned").textContent = warned(plan);
    const sizes = mapSizes(plan);
    const point = { nonzero_params: plan.N, flops: plan.flops, run: "your point" };
    fillCharts({
      curve: plan.affordable ? curveRows(plan) : [],
      runs: plan.affordable ? markRows(plan) : [],
      contours: contourRows(plan, sizes),
      dense: denseRows(plan, sizes),
      fitted: fittedRows(plan),
      point: plan.affordable ? [point] : [],
    });
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

  // A reader's own law among the others, and chosen.
  const openFile = async (file) => {
    if (!file) return;
    const refused = page.querySelector(".planner-refused");
    const name = `file:${file.name}`;
    try {
      laws[name] = lawOf(file.name, JSON.parse(await file.text()));
    } catch (error) {
      const broken = error instanceof SyntaxError;
      refused.textContent = broken ? `${file.name}: this is not a law file (${error.message})` : error.message;
      return;
    }
    refused.textContent = "";
    const select = page.querySelector("[name=law]");
    const option = [...select.options].find((o) => o.value === name) ?? new Option();
    option.value = name;
    option.textContent = `${file.name}, ${laws[name].members.length} refits, not in the link`;
    select.append(option);
    option.selected = true;
    changed();
  };

  page.querySelector("#planner-file").addEventListener("change", async ({ target }) => {
    await openFile(target.files[0]);
    target.value = ""; // so that the same file, changed, can be chosen again
  });
  page.addEventListener("input", ({ target }) => target.type === "file" || changed());
  page.querySelector(".planner-runs").addEventListener("click", goToRuns);
  addEventListener("hashchange", () => {
    if (!location.hash.includes("=")) return; // a heading of the page, not a setting
    clearTimeout(timer);
    restore();
    update();
  });
  restore();
  update();
})();
