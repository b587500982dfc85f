// Draws every chart of a page, follows the theme, and lists the numbers behind each chart.
"use strict";
(() => {
  const MAX_ROWS = 300;
  const dark = () => document.documentElement.dataset.theme === "dark";

  const make = (tag, attributes = {}, text = null) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (text !== null) element.textContent = text;
    return element;
  };

  const merge = (below, above) => {
    const result = { ...below };
    for (const [key, value] of Object.entries(above)) {
      const nested = value && typeof value === "object" && !Array.isArray(value);
      result[key] = nested ? merge(result[key] ?? {}, value) : value;
    }
    return result;
  };

  // ---- look -------------------------------------------------------------------------------
  // one legend under the other, a few entries a row: side by side they leave a phone's screen
  const narrowLegend = { columns: 3, titleLimit: 280, layout: { top: { direction: "vertical" } } };

  // A title that is too long for a phone, as lines.
  const wrapped = (title, narrow, letters = 38) => {
    const text = title?.text ?? title;
    if (!narrow || typeof text !== "string") return title;
    const lines = text.match(new RegExp(`\\S.{0,${letters - 1}}(?=\\s|$)`, "g")) ?? [text];
    return typeof title === "string" ? { text: lines } : { ...title, text: lines };
  };

  // How many letters the longest text of each field has that the rows of a chart hold.
  const longest = (node, found = {}) => {
    if (!node || typeof node !== "object") return found;
    const rows = [node.data?.values, ...Object.values(node.datasets ?? {})].filter(Array.isArray).flat();
    for (const [field, value] of rows.flatMap(Object.entries)) {
      if (typeof value === "string") found[field] = Math.max(found[field] ?? 0, value.length);
    }
    for (const [key, part] of Object.entries(node)) {
      if (key !== "data" && key !== "datasets") longest(part, found);
    }
    return found;
  };

  // On a phone long names stand one below the other in a legend, long titles of an axis in lines.
  const LETTERS = 44; // of a legend's row, with five for each symbol
  const onPhone = (channel, encoded, letters) => {
    const title = encoded.axis?.title ?? encoded.title;
    if (channel === "x" && encoded.axis !== null && typeof title === "string") {
      return { ...encoded, axis: { ...encoded.axis, title: wrapped(title, true, 16).text } };
    }
    const length = letters[encoded.field];
    if (!["color", "shape", "strokeDash"].includes(channel) || !length || encoded.legend === null) {
      return encoded;
    }
    const columns = Math.min(3, Math.max(1, Math.floor(LETTERS / (length + 5))));
    return { ...encoded, legend: { ...encoded.legend, columns, labelLimit: 300 } };
  };

  const forPhone = (node, letters) => {
    if (Array.isArray(node)) return node.map((part) => forPhone(part, letters));
    if (!node || typeof node !== "object") return node;
    const part = ([key, value]) => {
      if (key === "data" || key === "datasets") return [key, value];
      if (key !== "encoding") return [key, forPhone(value, letters)];
      const channels = Object.entries(value).map(([name, encoded]) => [name, onPhone(name, encoded, letters)]);
      return [key, Object.fromEntries(channels)];
    };
    return Object.fromEntries(Object.entries(node).map(part));
  };

  const themeConfig = (narrow) => {
    const ink = dark() ? "#d5dbe3" : "#2b3440";
    const faint = dark() ? "#3a444f" : "#e1e6ec";
    const font = getComputedStyle(document.body).fontFamily;
    return {
      background: null,
      font,
      title: { color: ink, subtitleColor: ink },
      axis: {
        labelColor: ink, titleColor: ink, gridColor: faint, domainColor: faint, tickColor: faint,
        labelSeparation: 5, // pixels between labels: else one of them is left out
      },
      legend: {
        labelColor: ink,
        titleColor: ink,
        symbolBaseFillColor: ink, // of shapes and dashes, which have no colour of their own
        symbolBaseStrokeColor: ink,
        ...(narrow ? narrowLegend : {}),
      },
      header: { labelColor: ink, titleColor: ink },
      text: { color: ink },
      rule: { color: ink },
    };
  };

  const themed = (spec, narrow) => {
    const colours = dark() ? spec.usermeta?.dark ?? {} : {};
    const swapped = JSON.parse(JSON.stringify(spec), (_, value) =>
      typeof value === "string" && value[0] === "#" ? colours[value.toLowerCase()] ?? value : value);
    const config = merge(swapped.config ?? {}, themeConfig(narrow));
    const panels = narrow && swapped.columns ? { columns: 1 } : {}; // one under the other
    const fitted = narrow ? forPhone(swapped, longest(swapped)) : swapped;
    const panel = ["facet", "row", "column"].some((channel) => fitted.encoding?.[channel]);
    if (panel || !(fitted.mark || fitted.layer)) delete fitted.width; // panels have widths of their own
    return { ...fitted, config, ...panels, ...(swapped.title ? { title: wrapped(swapped.title, narrow) } : {}) };
  };

  // ---- sliders ----------------------------------------------------------------------------
  const compact = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });
  const shown = (name, value) => {
    if (!name.startsWith("log10_")) return String(value);
    return compact.format(10 ** Number(value));
  };

  const nameControls = (figure) => {
    for (const group of figure.querySelectorAll(".vega-bind-radio")) {
      group.setAttribute("role", "radiogroup");
      group.setAttribute("aria-label", group.previousElementSibling.textContent);
    }
    for (const input of figure.querySelectorAll(".vega-bind input[type=range]")) {
      const bind = input.closest(".vega-bind");
      const label = bind.querySelector(".vega-bind-name").textContent;
      const output = make("output", { class: "slider-value" });
      const update = () => {
        output.textContent = shown(input.name, input.value);
        input.setAttribute("aria-valuetext", output.textContent);
      };
      input.setAttribute("aria-label", label);
      input.after(output);
      input.addEventListener("input", update);
      update();
    }
  };

  // Names of the signals that an input is bound to.
  const boundSignals = (vgSpec) => (vgSpec.signals ?? []).filter((s) => s.bind).map((s) => s.name);

  // ---- numbers ----------------------------------------------------------------------------
  // Fields that some channel draws, with the title the chart gives them.
  const drawnFields = (node, found = new Map()) => {
    if (!node || typeof node !== "object") return found;
    for (const [key, value] of Object.entries(node)) {
      if (key === "data" || key === "datasets") continue;
      if (key === "encoding" || key === "facet") {
        for (const channel of Object.values(value).flat()) {
          const title = channel?.title ?? channel?.legend?.title ?? channel?.axis?.title;
          if (typeof channel?.field !== "string") continue;
          if (!found.get(channel.field)) found.set(channel.field, title ?? null);
        }
      }
      drawnFields(value, found);
    }
    return found;
  };

  // Names of the data sets that marks draw.
  const drawnData = (marks, found = new Set()) => {
    for (const mark of marks ?? []) {
      const name = mark.from?.facet?.data ?? mark.from?.data;
      if (name) found.add(name);
      else drawnData(mark.marks, found);
    }
    return found;
  };

  const tables = (result, spec) => {
    const fields = drawnFields(spec);
    const seen = new Set();
    const list = [];
    for (const name of drawnData(result.vgSpec.marks)) {
      const rows = result.view.data(name);
      const columns = [...fields.keys()].filter((field) => rows.some((row) => row[field] != null));
      const text = JSON.stringify(rows.map((row) => columns.map((c) => row[c])));
      if (!rows.length || !columns.length || seen.has(text)) continue;
      seen.add(text);
      list.push({ rows, columns, titles: columns.map((c) => fields.get(c) || c) });
    }
    return list;
  };

  const readable = new Intl.NumberFormat("en", { maximumSignificantDigits: 5 });
  const number = (value) => {
    if (value == null) return "";
    if (typeof value !== "number") return String(value);
    const size = Math.abs(value);
    return size === 0 || (size >= 1e-4 && size < 1e15) ? readable.format(value) : value.toExponential(4);
  };

  const csv = ({ rows, columns }) => {
    const quoted = (v) => (v == null ? "" : /[",\n]/.test(v) ? `"${String(v).replace(/"/g, '""')}"` : v);
    return [columns, ...rows.map((row) => columns.map((c) => row[c]))]
      .map((line) => line.map(quoted).join(",")).join("\n") + "\n";
  };

  const tableElement = (data, caption) => {
    const box = make("div", { class: "numbers-scroll", tabindex: "0", role: "region", "aria-label": caption });
    const table = make("table", { class: "table numbers-table" });
    const head = table.createTHead().insertRow();
    for (const title of data.titles) head.append(make("th", { scope: "col" }, title));
    const body = table.createTBody();
    for (const row of data.rows.slice(0, MAX_ROWS)) {
      const line = body.insertRow();
      for (const column of data.columns) line.insertCell().textContent = number(row[column]);
    }
    box.append(table);
    return box;
  };

  const download = (text, type, name, label) => {
    const link = make("a", { download: name }, label);
    link.href = URL.createObjectURL(new Blob([text], { type }));
    return link;
  };

  const fillNumbers = async (details, { result, spec }) => {
    const picture = download(await result.view.toSVG(), "image/svg+xml", "chart.svg", "Picture (SVG)");
    const all = tables(result, spec);
    const parts = all.flatMap((data, i) => {
      const part = all.length > 1 ? ` ${i + 1}` : "";
      const count = data.rows.length;
      const note = count > MAX_ROWS ? `The first ${MAX_ROWS} of ${count} rows. ` : `${count} rows. `;
      const line = make("p", { class: "numbers-note" }, note);
      line.append(download(csv(data), "text/csv", `numbers${part.trim()}.csv`, "All of them (CSV)"));
      if (i === 0) line.append(" ", picture);
      return [line, tableElement(data, `Numbers of the chart${part}`)];
    });
    details.querySelectorAll("a[href^='blob:']").forEach((a) => URL.revokeObjectURL(a.href));
    details.replaceChildren(details.firstElementChild, ...(parts.length ? parts : [picture]));
  };

  const addNumbers = (figure, state) => {
    const details = make("details", { class: "vega-numbers" });
    details.append(make("summary", {}, "Numbers"));
    details.addEventListener("toggle", () => details.open && fillNumbers(details, state));
    figure.append(details);
    return details;
  };

  // A chart that a script fills may have nothing for some mark, as a law without an ensemble has no
  // interval: that is no mistake of the chart's, so Vega reports errors alone.
  const ERRORS = 1;

  // ---- drawing ----------------------------------------------------------------------------
  const draw = async (figure, state) => {
    const values = state.result
      ? boundSignals(state.result.vgSpec).map((name) => [name, state.result.view.signal(name)])
      : [];
    state.result?.finalize();
    const target = figure.querySelector(".vega-target");
    const datasets = { ...state.spec.datasets, ...state.data };
    const spec = themed({ ...state.spec, datasets }, figure.clientWidth < 480);
    state.result = await vegaEmbed(target, spec, {
      renderer: "svg",
      ast: true, // expressions are read, not run: the page's policy lets nothing be evaluated
      actions: false, // its menu would cover the chart; pictures are below, beside the numbers
      tooltip: { theme: dark() ? "dark" : "light" },
      ...(state.data ? { logLevel: ERRORS } : {}),
    });
    for (const [name, value] of values) state.result.view.signal(name, value);
    await state.result.view.runAsync();
    nameControls(figure);
    const refresh = () => state.numbers.open && fillNumbers(state.numbers, state);
    for (const name of boundSignals(state.result.vgSpec)) {
      state.result.view.addSignalListener(name, () => {
        clearTimeout(state.timer);
        state.timer = setTimeout(refresh, 150);
      });
    }
    refresh();
    figure._view = state.result.view;
    figure.dataset.ready = dark() ? "dark" : "light";
  };

  const fail = (figure, error) => {
    const message = `This chart could not be drawn: ${error.message ?? error}`;
    figure.querySelector(".vega-target").replaceChildren(make("p", { class: "vega-error", role: "alert" }, message));
    figure.dataset.ready = "error";
    console.error(error);
  };

  const start = (figure) => {
    const spec = JSON.parse(figure.querySelector(".vega-spec").textContent);
    // a script of the page fills such a chart: `figure.rows` holds the rows by name, and an event
    // "fill" says that they are others
    const waits = Object.values(spec.datasets ?? {}).some((rows) => !rows.length);
    const state = { spec, data: figure.rows ?? null, result: null };
    state.numbers = addNumbers(figure, state);
    let drawing = Promise.resolve();
    const then = (step) => (drawing = drawing.then(step).catch((e) => fail(figure, e)));
    const redraw = () => (waits && !state.data ? drawing : then(() => draw(figure, state)));
    const refill = async () => {
      for (const name of Object.keys(spec.datasets)) state.result.view.data(name, state.data[name]);
      await state.result.view.runAsync();
      if (state.numbers.open) fillNumbers(state.numbers, state);
    };
    figure.addEventListener("fill", () => {
      state.data = figure.rows;
      then(() => (state.result ? refill() : draw(figure, state)));
    });
    redraw();
    const theme = new MutationObserver(() => {
      if (figure.dataset.ready !== (dark() ? "dark" : "light")) redraw();
    });
    theme.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    // Vega follows the window only: tell it of tabs that open and sidebars that close
    let width = figure.clientWidth;
    new ResizeObserver(() => {
      if (figure.clientWidth === width) return;
      width = figure.clientWidth;
      window.dispatchEvent(new Event("resize"));
    }).observe(figure);
  };

  document.querySelectorAll(".vega-figure").forEach(start);
})();
