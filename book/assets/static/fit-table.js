// A reader's table as runs: the text of a CSV file, the columns that hold what a fit needs, and the
// refusals, in the words of simlib.runs.foreign, simlib.runs.table and simlib.fit.observations.
"use strict";

/**
 * @typedef {Object} Source  Where the values of a field are.
 * @property {string} name  a column, or a number
 * @property {number} factor  what the values are multiplied with
 * @property {boolean} complement  whether the value is one minus that
 * @property {boolean} logged  whether the value is the logarithm of that
 */

/**
 * The functions that read a table.
 * @param {Object} rules  fields of a run table and what is refused, from simlib
 */
self.fitTable = (rules) => {
  // A sentence for the reader of the page: what is wrong with a table, and the remedy.
  class InputError extends Error {}

  const { fields, essential, counts } = rules;
  const names = fields.map((f) => f.name);

  // ---- numbers and texts as Python reads and writes them ------------------------------------
  const DIGITS = "\\d+(?:_\\d+)*";
  const NUMBER = new RegExp(`^[+-]?(?:${DIGITS}\\.?(?:${DIGITS})?|\\.${DIGITS})(?:e[+-]?${DIGITS})?$`, "i");
  const INTEGER = new RegExp(`^[+-]?${DIGITS}(?:\\.0*)?$`);
  const ENDLESS = /^([+-]?)inf(?:inity)?$/i;

  // The number that a text is; undefined for none.
  const parsed = (text) => {
    const bare = text.trim();
    if (NUMBER.test(bare)) return Number(bare.replaceAll("_", ""));
    if (/^[+-]?nan$/i.test(bare)) return NaN;
    const endless = ENDLESS.exec(bare);
    return endless ? (endless[1] === "-" ? -Infinity : Infinity) : undefined;
  };

  const isNumber = (text) => {
    const value = parsed(text);
    return value !== undefined && !Number.isNaN(value);
  };

  // "1.5e+20" with an exponent of two digits at least.
  const exponent = (text) => text.replace(/e([+-])(\d)$/, "e$10$2");

  const floatText = (value) => {
    if (Number.isNaN(value)) return "nan";
    if (!Number.isFinite(value)) return value < 0 ? "-inf" : "inf";
    const size = Math.abs(value);
    if (size !== 0 && (size >= 1e16 || size < 1e-4)) return exponent(value.toExponential());
    const text = Object.is(value, -0) ? "-0" : String(value);
    return text.includes(".") ? text : `${text}.0`;
  };

  // A number to so many significant digits, as "%g" writes it.
  const general = (value, significant = 6) => {
    if (!Number.isFinite(value)) return floatText(value);
    if (value === 0) return Object.is(value, -0) ? "-0" : "0";
    const [digits, power] = value.toExponential(significant - 1).split("e");
    const short = (text) => (text.includes(".") ? text.replace(/\.?0+$/, "") : text);
    if (power < -4 || power >= significant) return exponent(`${short(digits)}e${power}`);
    return short(value.toFixed(significant - 1 - Number(power)));
  };

  // A whole number, halves to the even one.
  const rounded = (value) => {
    const low = Math.floor(value);
    const up = value - low > 0.5 || (value - low === 0.5 && low % 2 !== 0);
    return String(BigInt(up ? low + 1 : low));
  };

  const ESCAPES = { "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t" };
  const quoted = (text) => {
    const mark = text.includes("'") && !text.includes('"') ? '"' : "'";
    const inside = text.replace(/[\\\n\r\t]/g, (c) => ESCAPES[c]);
    return mark + (mark === "'" ? inside.replaceAll("'", "\\'") : inside) + mark;
  };

  const recordText = (record) =>
    `{${Object.entries(record).map(([name, text]) => `${quoted(name)}: ${quoted(text)}`).join(", ")}}`;

  // ---- the file -----------------------------------------------------------------------------
  /**
   * The cells of a file, row by row, header first.
   * @param {string} text  of a file with commas, semicolons or tabs between the values
   * @returns {string[][]}
   */
  const cells = (text) => {
    const lines = text.replace(/^\ufeff/, "").replace(/\r\n?/g, "\n");
    const head = lines.split("\n", 1)[0];
    const often = (mark) => head.split(mark).length;
    const between = [...rules.delimiters].reduce((best, mark) => (often(mark) > often(best) ? mark : best));
    const found = [];
    let row = [];
    let field = "";
    let state = "start"; // of a field, or "plain", "quoted", or "ended": after a closing quote
    const endRow = () => {
      if (row.length || state !== "start") row.push(field);
      found.push(row);
      row = [];
      field = "";
      state = "start";
    };
    for (const c of lines) {
      if (state === "quoted" && c !== '"') field += c;
      else if (state === "quoted") state = "ended";
      else if (c === '"' && state === "start") state = "quoted";
      else if (c === '"' && state === "ended") {
        field += c;
        state = "quoted";
      } else if (c === "\n") endRow();
      else if (c === between) {
        row.push(field);
        field = "";
        state = "start";
      } else {
        field += c;
        state = "plain";
      }
    }
    if (row.length || state !== "start") endRow();
    return found;
  };

  /**
   * The text of a file.
   * @param {string} path  its name, for what is said of it
   * @param {ArrayBuffer} bytes
   * @returns {string}
   * @throws {InputError} for bytes that are no text
   */
  const decoded = (path, bytes) => {
    try {
      return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    } catch {
      throw new InputError(`${path}: cannot be read as a table (it is not text in UTF-8)`);
    }
  };

  // ---- columns ------------------------------------------------------------------------------
  /**
   * The source of a field: `column`, `column*number` or `column*ln2`, `log(column)`, a number;
   * `1-column` for a sparsity.
   * @param {string} field
   * @param {string} written
   * @returns {Source}
   * @throws {InputError} for what cannot be read
   */
  const sourceOf = (field, written) => {
    const text = written.trim();
    const complement = field === "sparsity" && text.startsWith("1-");
    const logged = /^log\(([^()*]+)\)$/.exec(text);
    if (logged) return { name: logged[1].trim(), factor: 1, complement, logged: true };
    const [name, ...factors] = (complement ? text.slice(2) : text).split("*");
    if (!name.trim()) {
      throw new InputError("columns are written as field=column pairs with fields such as "
        + `${essential.join(", ")}; got ${quoted(`${field}=${text}`)}`);
    }
    const factor = factors.length ? factors.join("*").trim() : "1";
    const value = factor === "ln2" ? Math.LN2 : parsed(factor);
    if (value === undefined) {
      throw new InputError(`${quoted(`${field}=${text}`)}: this page multiplies a column by a number alone, got `
        + `${quoted(factor)}; simlib fit takes expressions of columns`);
    }
    return { name: name.trim(), factor: value, complement, logged: false };
  };

  // Values of a field in the unit of a run table, as text; counts become whole numbers.
  const valueOf = (row, header, field, { name, factor, complement, logged }) => {
    const at = header.indexOf(name);
    const text = at < 0 ? name : row[at].trim();
    if (!isNumber(text)) return text;
    const value = logged ? Math.log(parsed(text)) : parsed(text) * factor;
    if (counts.includes(field)) return Number.isFinite(value) ? rounded(value) : text;
    if (complement) return floatText(Number((1 - value).toFixed(12)));
    return factor === 1 && !logged ? text : floatText(value);
  };

  const derivesNonzero = (known) =>
    !("nonzero_params" in known) && "dense_params" in known && "sparsity" in known;

  // The row with non-zero parameters, from dense ones and the sparsity where it has none.
  const withNonzero = (row) => {
    if (!derivesNonzero(row)) return row;
    const [dense, sparsity] = [row.dense_params, row.sparsity];
    const known = isNumber(dense) && isNumber(sparsity) && Number.isFinite(parsed(dense));
    return { ...row, nonzero_params: known ? rounded(parsed(dense) * (1 - parsed(sparsity))) : dense };
  };

  // ---- refusals -----------------------------------------------------------------------------
  const refuseMissing = (path, header, known) => {
    const there = `there are ${header.join(", ")}`;
    for (const [field, { name }] of Object.entries(known)) {
      if (!header.includes(name) && !isNumber(name)) {
        throw new InputError(`${path}: there is no column ${quoted(name)} for ${field}; ${there}`);
      }
      const times = header.filter((h) => h === name).length;
      if (times > 1) {
        throw new InputError(`${path}: ${times} columns are called ${quoted(name)}: give the one that `
          + `holds ${field} a name of its own`);
      }
    }
    const held = (name) => name in known || (name === "nonzero_params" && derivesNonzero(known));
    const missing = essential.find((name) => !held(name));
    if (!missing) return;
    const hint = rules.hints[missing] ?? "";
    throw new InputError(`${path}: no column holds ${missing}${hint}; name it with `
      + `--columns ${missing}=COLUMN; ${there}`);
  };

  const refuseWidths = (path, header, body) => {
    body.forEach((row, i) => {
      if (row.length && row.length !== header.length) {
        throw new InputError(`${path}: row ${i + 2} has ${row.length} values where the header has `
          + `${header.length}`);
      }
    });
  };

  const greatest = (values) => values.reduce((most, v) => (v > most || Number.isNaN(most) ? v : most), NaN);

  // Refuse a column whose greatest value says that its unit cannot be right.
  const refuseUnits = (path, most) => {
    for (const field of ["nonzero_params", "data_seen"]) {
      if (most[field] < rules.fewest) {
        throw new InputError(`${path}: ${field} is ${general(most[field])} at most; if that is in `
          + `millions, write --columns ${field}=COLUMN*1e6`);
      }
    }
    if (most.loss > rules.most_nats) {
      throw new InputError(`${path}: loss reaches ${general(most.loss)}, more than any cross-entropy in `
        + "nats; if it is a perplexity, write --columns loss=log(COLUMN), if it is in bits, write loss=COLUMN*ln2");
    }
  };

  // Refuse the first cell that is no number where one is needed.
  const refuseWords = (path, rows, known) => {
    for (const field of essential.filter((name) => name in known)) {
      rows.forEach((row, i) => {
        if (!row || parsed(row[field]) !== undefined) return;
        const what = row[field] === "" ? "there is no value; leave such rows out"
          : `${quoted(row[field]).slice(0, 40)} is no number: write it without separators or units`;
        throw new InputError(`${path}: row ${i + 2}, column ${quoted(field)}: ${what}`);
      });
    }
  };

  const refuseImplausible = (path, rows) => {
    const most = Object.fromEntries(essential.map((field) => [
      field, greatest(rows.map((row) => row[field]).filter(isNumber).map(parsed))]));
    if (most.sparsity > 1 && most.sparsity <= 100) {
      throw new InputError(`${path}: sparsity reaches ${general(most.sparsity)}; it is a fraction here: `
        + "for percentages write --columns sparsity=COLUMN*0.01, for percentages of what is left "
        + "sparsity=1-COLUMN*0.01");
    }
    if (most.sparsity === 1) {
      throw new InputError(`${path}: sparsity reaches 1, a model of zeros; if the column holds `
        + "densities, write --columns sparsity=1-COLUMN");
    }
    refuseUnits(path, most);
  };

  const TRUE = ["1", "on", "t", "true", "y", "yes"];
  const FALSE = ["0", "off", "f", "false", "n", "no"];

  // The value of a text by its kind; undefined where it is none.
  const READ = {
    number: parsed,
    integer: (text) => (INTEGER.test(text.trim()) ? parsed(text) : undefined),
    boolean: (text) => {
      const word = text.toLowerCase();
      return TRUE.includes(word) ? true : FALSE.includes(word) ? false : undefined;
    },
    string: (text) => text,
  };
  const KEEPS = {
    "<=": (value, limit) => value <= limit,
    "<": (value, limit) => value < limit,
    ">=": (value, limit) => value >= limit,
    ">": (value, limit) => value > limit,
    finite: (value) => Number.isFinite(value),
    "one of": (value, choices) => choices.includes(value),
  };

  // One row of texts as a checked record.
  const record = (path, number, row) => {
    const given = Object.fromEntries(Object.entries(row).filter(([, text]) => text !== ""));
    const refuse = (name, message, got) => {
      throw new InputError(`${path}: row ${number}, column ${quoted(name)}: ${message} (got ${got.slice(0, 40)})`);
    };
    const found = {};
    for (const { name, kind, initial, required, unread, checks } of fields) {
      const text = given[name];
      if (text === undefined) {
        if (required) refuse(name, required, recordText(given));
        found[name] = initial;
        continue;
      }
      const value = READ[kind](text);
      if (value === undefined) refuse(name, unread, quoted(text));
      const broken = checks.find(({ keeps, limit }) => !KEEPS[keeps](value, limit));
      if (broken) refuse(name, broken.message, quoted(text));
      found[name] = value;
    }
    if (!found.diverged && !(Number.isFinite(found.loss) && found.loss > 0)) {
      refuse("loss", `Value error, loss ${floatText(found.loss)} is not a positive number, yet diverged is false`,
        recordText(given));
    }
    return found;
  };

  const refuseRepeatedIds = (path, records) => {
    const seen = new Map();
    records.forEach(({ row, run_id }) => {
      if (run_id && seen.has(run_id)) {
        throw new InputError(`${path}: row ${row}, column 'run_id': ${quoted(run_id)} stands in row `
          + `${seen.get(run_id)} already`);
      }
      seen.set(run_id, row);
    });
  };

  const refuseMixture = (records) => {
    for (const [name, what] of [["family", "model families"], ["dataset", "data sets"]]) {
      const values = [...new Set(records.map((r) => r[name]))].filter((v) => v !== "").sort();
      if (values.length > 1) {
        throw new InputError(`the table holds several ${what} (${values.join(", ")}), whose losses do not `
          + "follow one law: fit each on its own");
      }
    }
  };

  const refuseBits = (records, form) => {
    const known = [...new Set(records.map((r) => r.weight_bits || rules.full_bits))].sort((a, b) => a - b);
    if (known.length > 1) {
      throw new InputError(`the runs have weights of ${known.map((bits) => general(bits)).join(", ")} bits, and the `
        + `${form.name} law knows none: fit the form bits, or runs of one number of bits`);
    }
  };

  // Refuse one run that stands twice. Seeds tell runs apart; losses of few digits may be equal by
  // chance, but not those of all runs.
  const refuseRepeats = (records) => {
    const seeded = (r) => [r.sparsity, r.nonzero_params, r.data_seen, r.loss, r.seed ?? null];
    const keys = records.map((r) => JSON.stringify(seeded(r)));
    const times = new Map();
    for (const key of keys) times.set(key, (times.get(key) ?? 0) + 1);
    const copied = (i) => times.get(keys[i]) > 1;
    const places = [...keys.keys()].filter(copied);
    if (!places.length) return;
    const short = (loss) => Number(loss.toPrecision(rules.digits)) === loss;
    if (places.length < keys.length && places.every((i) => short(records[i].loss))) return;
    // the first of the copies in the order of S, N, D, loss
    const order = (a, b) => seeded(records[a]).slice(0, 4).reduce(
      (sign, value, at) => sign || value - seeded(records[b])[at], 0);
    const row = places.sort(order)[0];
    throw new InputError(`run ${row + 1} stands ${times.get(keys[row])} times in the table with one and the `
      + "same loss; repeated rows would narrow every interval: remove the copies");
  };

  const refuseTooFew = (records, form) => {
    const k = form.names.length;
    if (records.length <= k) {
      throw new InputError(`${records.length} runs cannot fix the ${k} coefficients of the ${form.name} `
        + `law: at least ${k + 1} are needed`);
    }
    ["sparsity", "nonzero_params", "data_seen"].forEach((name, at) => {
      const have = new Set(records.map((r) => r[name])).size;
      if (have >= form.distinct[at]) return;
      const dense = records.every((r) => r.sparsity === 0);
      throw new InputError(`the runs have ${have} different value${have === 1 ? "" : "s"} of ${name}, and `
        + `the ${form.name} law needs at least ${form.distinct[at]} to tell its coefficients apart`
        + `${dense ? ": add sparse runs, or fit the form dense" : ""}`);
    });
  };

  // ---- the runs -----------------------------------------------------------------------------
  /**
   * The finished runs of a table as columns, checked for what would make a fit meaningless.
   * @param {string} path  name of the file, for what is said of it
   * @param {string} text  its content
   * @param {Object<string, string>} written  field and where it is, as `sourceOf` reads it; fields
   *   that keep their name need no entry
   * @param {Object} form  the law's coefficients and the different values that they need
   * @returns {Object}  S, N, D in raw units and L in nats, arrays of (runs)
   * @throws {InputError} naming what is wrong and the remedy
   */
  const readRuns = (path, text, written, form) => {
    const sources = Object.fromEntries(Object.entries(written)
      .filter(([, source]) => source.trim()).map(([field, source]) => [field, sourceOf(field, source)]));
    const rows = cells(text);
    if (rows.length < 2) throw new InputError(`${path}: there are no runs below the header`);
    const header = rows[0].map((name) => name.trim());
    const own = header.filter((name) => names.includes(name)).map((name) => [name, sourceOf("", name)]);
    const known = { ...Object.fromEntries(own), ...sources };
    const body = rows.slice(1);
    refuseMissing(path, header, known);
    refuseWidths(path, header, body);
    const filled = body.map((row) => row.length && withNonzero(Object.fromEntries(
      Object.entries(known).map(([field, source]) => [field, valueOf(row, header, field, source)]))));
    refuseWords(path, filled, known);
    refuseImplausible(path, filled.filter(Boolean));
    const records = filled.filter(Boolean).map((row, i) => ({ row: i + 2, ...record(path, i + 2, row) }));
    refuseRepeatedIds(path, records);
    refuseMixture(records);
    const finished = records.filter((r) => !r.diverged);
    refuseUnits(path, Object.fromEntries(["nonzero_params", "data_seen", "loss"].map(
      (field) => [field, greatest(finished.map((r) => r[field]))])));
    refuseBits(finished, form);
    refuseRepeats(finished);
    refuseTooFew(finished, form);
    const column = (name) => finished.map((r) => r[name]);
    return { S: column("sparsity"), N: column("nonzero_params"), D: column("data_seen"), L: column("loss") };
  };

  return { InputError, cells, decoded, readRuns, general };
};
