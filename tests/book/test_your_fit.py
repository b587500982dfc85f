"""The page that fits a reader's own runs finds what simlib finds, and refuses what it refuses."""

import json
import shlex
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsing import Opener, Watch
from click.testing import CliRunner
from playwright.sync_api import Browser, Page

from simlib.cli.fit import command as fit_command
from simlib.cli.plan import command as plan_command
from simlib.datasets import FOLDER, load_law, load_runs, table_path
from simlib.datasets.published import available, released_runs
from simlib.errors import InputError
from simlib.fit import JOINT, FittedLaw, fit
from simlib.fit.bootstrap import AGREE, refit, resample_runs
from simlib.fit.objective import DEFAULT_OBJECTIVE, OBJECTIVES, Objective
from simlib.fit.preparation import prepare
from simlib.fit.profile import WIDE
from simlib.laws.law import JointLaw
from simlib.laws.optimum import cost_model
from simlib.runs.cells import Columns, cell_index, curve_index
from simlib.runs.foreign import ESSENTIAL
from simlib.simulate.best import best_sparsity

DONE = """() => document.querySelector('.yourfit-refused').textContent
  || (!document.querySelector('.yourfit-fit').disabled
      && !document.querySelector('.yourfit-result').hidden)"""
SHOWN = """() => Object.fromEntries([...document.querySelectorAll('.yourfit td[data-run]')].map(
  c => [c.dataset.run + ' ' + c.dataset.key,
        [...c.querySelectorAll('data')].map(d => Number(d.value))]))"""
DRAWN = """name => { for (const figure of document.querySelectorAll('.vega-figure'))
  if (JSON.parse(figure.querySelector('.vega-spec').textContent).datasets[name])
    return figure._view.data(name); }"""
PARTS = """const own = JSON.parse(
    document.querySelector(".yourfit script[type='application/json']").textContent);
  const law = fitLaw(own.form), solver = fitSolver(law, own.form, own.settings);
  const bootstrap = fitBootstrap(solver, own.form, own.settings);"""
SHIPPED = sorted(path.stem for path in FOLDER.glob("*.csv"))
MEMBERS = 200


@dataclass
class YourFit:
    """The open page, read and moved."""

    page: Page
    watch: Watch = field(default_factory=Watch)

    def bring(self, path: Path, columns: Mapping[str, str] | None = None) -> None:
        """Choose a file, and say where its fields are."""
        for part in ("rows", "refused"):  # what the table before left there
            self.page.evaluate(f"document.querySelector('.yourfit-{part}').replaceChildren()")
        self.page.set_input_files("#yourfit-file", str(path))
        self.page.wait_for_function(
            "() => document.querySelector('.yourfit-rows td, .yourfit-rows th')"
            " || document.querySelector('.yourfit-refused').textContent"
        )
        for name, source in (columns or {}).items():
            self.page.fill(f"#yourfit-{name}", source)

    def settings(self, objective: Objective, resamples: int, group: str = "runs") -> None:
        self.page.fill("#yourfit-resamples", str(resamples))
        self.page.select_option("#yourfit-group", group)
        self.page.select_option("#yourfit-log", "log" if objective.log else "raw")
        self.page.fill("#yourfit-delta", str(objective.delta))

    def fit(self) -> str:
        """Fit, and what is refused."""
        self.page.click(".yourfit-fit")
        self.page.wait_for_function(DONE, timeout=60_000)
        return self.text("refused")

    def text(self, name: str) -> str:
        return self.page.inner_text(f".yourfit-{name}")

    def law(self, folder: Path) -> FittedLaw:
        """What the page saves, as simlib reads it."""
        with self.page.expect_download() as download:
            self.page.click(".yourfit-save")
        path = folder / download.value.suggested_filename
        download.value.save_as(path)
        return load_law(str(path))


@pytest.fixture(scope="module")
def page(browser: Browser, site: str) -> Iterator[YourFit]:
    """One open page for all fits: each brings a table of its own."""
    opener = Opener(browser, site)
    opened = opener("book/your_fit", as_file=True)
    yield YourFit(opened.page, opened.watch)
    for context in opener.contexts:
        context.close()
    opened.watch.assert_clean()


def written(folder: Path, runs: Any, name: str = "mine.csv") -> Path:
    """The four columns of runs as a file."""
    path = folder / name
    rows = zip(*(getattr(runs, column).tolist() for column in ESSENTIAL), strict=True)
    path.write_text(
        ",".join(ESSENTIAL) + "\n" + "".join(f"{','.join(map(repr, r))}\n" for r in rows)
    )
    return path


def random_runs(seed: int) -> Columns:
    """Runs of a random law on a random design, with noise of half a percent to two."""
    rng = np.random.default_rng(seed)
    law = JointLaw(
        *(10 ** rng.uniform(0.5, 1.5), rng.uniform(0.3, 1.5), 10 ** rng.uniform(0.5, 1.5)),
        *(rng.uniform(0.2, 0.45), 10 ** rng.uniform(5, 8), rng.uniform(0.2, 0.5)),
        rng.uniform(0.5, 2),
    )
    S, N, D = (
        np.ravel(axis)
        for axis in np.meshgrid(
            [0, *np.sort(rng.uniform(0.3, 0.95, rng.integers(2, 5)))],
            np.round(np.geomspace(1e6, 10 ** rng.uniform(7.5, 9.5), rng.integers(3, 7))),
            np.round(np.geomspace(1e8, 10 ** rng.uniform(9.5, 11.5), rng.integers(3, 7))),
        )
    )
    noise = 10 ** rng.uniform(np.log10(0.005), np.log10(0.02)) * rng.standard_normal(len(S))
    return Columns(S, N, D, law(S, N, D) * np.exp(noise))


@cache
def known_runs(name: str) -> tuple[Columns, Objective]:
    """A released, shipped or random table, and its objective."""
    if name in OBJECTIVES:
        which = name.partition("-")[0]
        if not available(which):
            pytest.skip("the released files are not at hand")
        return Columns.of(released_runs(which)), OBJECTIVES[name]
    if name.startswith("random"):
        return random_runs(int(name.removeprefix("random "))), DEFAULT_OBJECTIVE
    return Columns.of(load_runs(name).finished), DEFAULT_OBJECTIVE


@cache
def python_fit(name: str, members: int) -> FittedLaw:
    runs, objective = known_runs(name)
    return fit(runs, JOINT, objective, resamples=members, profile_resamples=0)


def identified(law: FittedLaw) -> list[str]:
    """Coefficients that keep their sign, and their size within a factor, in every refit.

    A fit that simlib itself warns of, since its starts disagree, identifies none.
    """
    assert law.ensemble is not None
    low, high = (
        dict(zip(law.law.names(), ends, strict=True))
        for ends in np.quantile(law.ensemble.vector(), [0.0, 1.0], axis=0)
    )
    held = [n for n in law.law.names() if low[n] > 0 and high[n] < WIDE * low[n]]
    return [] if law.warnings else held


def assert_same_fit(found: FittedLaw, known: FittedLaw) -> None:
    """Status, range, objective and every identified coefficient."""
    assert found.status == known.status
    assert found.runs == known.runs
    assert found.value == pytest.approx(known.value, rel=AGREE if known.warnings else 1e-9)
    np.testing.assert_allclose(found.fitted_range, known.fitted_range, rtol=1e-9)
    for name in identified(known):
        assert found.coefficients[name] == pytest.approx(known.coefficients[name], rel=1e-6), name


@pytest.mark.parametrize("name", [*OBJECTIVES, *(f"random {i}" for i in range(20))])
def test_the_fit_is_that_of_simlib(page: YourFit, tmp_path: Path, name: str) -> None:
    runs, objective = known_runs(name)
    page.bring(written(tmp_path, runs))
    page.settings(objective, resamples=0)
    assert page.fit() == ""
    assert_same_fit(page.law(tmp_path), python_fit(name, 40))


def refusal(path: str, columns: Mapping[str, str | None]) -> str:
    """What `simlib fit --runs --columns` refuses; without a source a field keeps its name."""
    names = ",".join(f"{name}={source or name}" for name, source in columns.items())
    quick = ["--starts", "1", "--resamples", "0"]
    done = CliRunner().invoke(fit_command, ["--runs", path, "--columns", names, *quick])
    if done.exception is None or isinstance(done.exception, SystemExit):
        return ""
    assert isinstance(done.exception, InputError), done.exception
    return str(done.exception)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_table_gives_the_fit_or_the_sentence_of_simlib(
    page: YourFit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path(shutil.copy(table_path(name), f"{name}.csv"))
    page.bring(path)
    page.settings(DEFAULT_OBJECTIVE, resamples=0)
    said = page.fit()
    assert said == refusal(path.name, dict.fromkeys(ESSENTIAL))
    if not said:
        assert_same_fit(page.law(tmp_path), python_fit(name, 40))


def test_random_tables_identify_most_coefficients() -> None:
    """Else the test above would compare next to nothing."""
    counts = [len(identified(python_fit(f"random {i}", 40))) for i in range(20)]
    assert sum(counts) > 40
    assert set().union(*(identified(python_fit(f"random {i}", 40)) for i in range(20))) >= {
        *("b_N", "b_D", "c"),
    }


@pytest.mark.parametrize("name", [*OBJECTIVES, "gpt-laptop", "random 0"])
def test_intervals_are_those_of_simlib_up_to_chance(
    page: YourFit, tmp_path: Path, name: str
) -> None:
    """As many of simlib's refits lie beyond an end as lie beyond their own, within 4 sigma."""
    runs, objective = known_runs(name)
    page.bring(written(tmp_path, runs))
    page.settings(objective, resamples=MEMBERS)
    assert page.fit() == ""
    found, known = page.law(tmp_path), python_fit(name, 4 * MEMBERS)
    assert (found.refits, found.converged_members) == (MEMBERS, MEMBERS)
    assert found.ensemble is not None
    assert known.ensemble is not None
    tail = (1 - found.level) / 2
    chance = 4 * np.sqrt(tail * (1 - tail) * (1 / MEMBERS + 1 / (4 * MEMBERS)))
    for key, (low, high) in found.intervals.items():
        drawn = np.asarray(getattr(known.ensemble, key))
        assert np.mean(drawn < low) == pytest.approx(tail, abs=chance), key
        assert np.mean(drawn > high) == pytest.approx(tail, abs=chance), key
        own = np.quantile(getattr(found.ensemble, key), [tail, 1 - tail])
        np.testing.assert_allclose([low, high], own, rtol=1e-6)


@pytest.mark.parametrize("name", ["gpt-laptop", "random 3"])
def test_a_resampled_table_has_the_optimum_that_simlib_finds(page: YourFit, name: str) -> None:
    runs, objective = known_runs(name)
    rng = np.random.default_rng(0)
    prepared, _, _ = prepare(runs, JOINT, objective, 25, rng)
    batch = resample_runs(prepared.problem, 20, rng, curve_index(runs.S, runs.N))
    theta = JOINT.from_law(python_fit(name, 40).law, prepared.units)
    known = refit(batch, theta, 20, prepared.cold)
    script = f"""([columns, objective, weights, theta, cold]) => {{ {PARTS}
      const arrays = (rows) => rows.map((row) => Float64Array.from(row));
      const problem = law.makeProblem(columns, objective);
      return bootstrap.refit(problem, arrays(weights), Float64Array.from(theta), arrays(cold),
                             () => {{}}).map((end) => end.value); }}"""
    columns = {key: values.tolist() for key, values in vars(runs).items()}
    asked = {"delta": objective.delta, "log": objective.log}
    lists = (batch.weights.tolist(), theta.tolist(), prepared.cold.tolist())
    found = np.array(page.page.evaluate(script, [columns, asked, *lists]))
    np.testing.assert_allclose(found, known.value, rtol=1e-6)


@pytest.mark.parametrize("name", ["gpt-laptop", "vit-laptop", "random 4"])
def test_groups_that_are_drawn_whole_are_those_of_simlib(page: YourFit, name: str) -> None:
    runs, _ = known_runs(name)
    columns = {key: values.tolist() for key, values in vars(runs).items()}
    script = f"([columns, group]) => {{ {PARTS} return bootstrap.GROUPS[group](columns); }}"
    known = {"cells": cell_index(runs.S, runs.N, runs.D), "curves": curve_index(runs.S, runs.N)}
    for group, index in known.items():
        found = page.page.evaluate(script, [columns, group])
        pairs = set(zip(found, index.tolist(), strict=True))
        assert len(pairs) == len(set(found)) == len(set(index.tolist())), group


def test_a_group_is_drawn_whole(page: YourFit) -> None:
    script = f"""() => {{ {PARTS}
      return bootstrap.resampledRuns([0, 1, 0, 2, 1], 300, bootstrap.generator(7))
        .map((own) => [...own]); }}"""
    weights = np.array(page.page.evaluate(script))
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, 1] == weights[:, 4]).all()
    for one in (0, 1, 3):  # a group of three is left out by chance (2/3)^3, in 89 of 300
        assert (weights[:, one] == 0).sum() == pytest.approx(89, abs=4 * 7.9)
    assert (page.page.evaluate(script) == weights).all()  # the same for the same seed


# ---- refusals ---------------------------------------------------------------------------------
HEADER = ",".join(ESSENTIAL)
ROWS = [
    f"{N}000000,{S},{D}000000,{4 - 0.1 * i}37"
    for i, (S, N, D) in enumerate(
        (S, N, D) for S in (0, 0.5, 0.75) for N in (1, 10) for D in (100, 200, 400)
    )
]


def text(*changed: tuple[int, str], header: str = HEADER, rows: list[str] | None = None) -> str:
    """A table of good rows but for some."""
    lines = list(ROWS if rows is None else rows)
    for at, row in changed:
        lines[at] = row
    return "\n".join([header, *lines]) + "\n"


NAMES = "n,s,d,l"
TAKEN = {"nonzero_params": "n", "sparsity": "s", "data_seen": "d", "loss": "l"}
OWN = dict.fromkeys(ESSENTIAL, "")  # the page finds what has the book's own names
BAD: dict[str, tuple[str, dict[str, str]]] = {
    "no rows": (HEADER + "\n", {}),
    "no column": (text(header=NAMES), {**TAKEN, "loss": "val"}),
    "not named": (text(header=NAMES), {k: v for k, v in TAKEN.items() if k != "sparsity"}),
    "two of a name": (text(header="n,s,d,d"), {**TAKEN, "loss": "d"}),
    "ragged": (text((2, "1,2,3")), {}),
    "percent": (text(), {"sparsity": "sparsity*100"}),
    "a density of 1": (text(), {"sparsity": "1-sparsity"}),
    "millions": (text(), {"nonzero_params": "nonzero_params*1e-6"}),
    "data in millions": (text(), {"data_seen": "data_seen*1e-6"}),
    "perplexity": (text((3, "1000000,0,100000000,55.5")), {}),
    "separators in a number": (text((4, '"1,000,000",0,100000000,3.5')), {}),
    "not named, by size": (text(header=NAMES), {k: v for k, v in TAKEN.items() if v != "n"}),
    "a word": (text((4, "1000000,0,100000000,none")), {}),
    "a quoted word": (text((4, '1000000,0,100000000,"it\'s, here"')), {}),
    "nothing": (text((4, "1000000,0,100000000,")), {}),
    "not a number": (text((1, "1000000,0,200000000,nan")), {}),
    "below zero": (text((1, "1000000,0,200000000,-1.5")), {}),
    "sparsity below zero": (text((0, "1000000,-0.25,200000000,3.5")), {}),
    "no size": (text((0, "0,0,200000000,3.5")), {}),
    "two families": (
        text(
            header=HEADER + ",family",
            rows=[f"{r},{'gpt' if i else 't5'}" for i, r in enumerate(ROWS)],
        ),
        {},
    ),
    "an unknown family": (text(header=HEADER + ",family", rows=[f"{r},bert" for r in ROWS]), {}),
    "two data sets": (
        text(
            header=HEADER + ",dataset",
            rows=[f"{r},{'a' if i else 'b'}" for i, r in enumerate(ROWS)],
        ),
        {},
    ),
    "a rate": (text(header=HEADER + ",lr", rows=[f"{r},0" for r in ROWS]), {}),
    "one id": (text(header=HEADER + ",run_id", rows=[f"{r},same" for r in ROWS]), {}),
    "a copy of long digits": (
        text(rows=[*ROWS, *["5000000,0.5,300000000,2.123456789"] * 3]),
        {},
    ),
    "few": (text(rows=ROWS[:7]), {}),
    "all dense": (text(), {"sparsity": "0"}),
    "two sparsities": (text(rows=ROWS[:12]), {}),
    "one amount of data": (text(), {"data_seen": "1e9"}),
    "diverged": (text(header=HEADER + ",diverged", rows=[f"{r},true" for r in ROWS]), {}),
    "other separators": (text((2, "1;2;3")).replace(",", ";"), {}),
}


@pytest.mark.parametrize("what", BAD)
def test_the_same_sentence_for_the_same_bad_table(
    page: YourFit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.chdir(tmp_path)
    content, columns = BAD[what]
    Path("bad.csv").write_text(content)
    expected = refusal("bad.csv", columns if "n,s," in content else OWN | columns)
    assert expected
    page.bring(Path("bad.csv"), columns)
    assert page.fit() == expected


def test_a_product_of_columns_is_left_to_simlib(page: YourFit, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text(text(header=NAMES))
    page.bring(tmp_path / "bad.csv", {**TAKEN, "data_seen": "d*n"})
    assert page.fit().endswith("got 'n'; simlib fit takes expressions of columns")


def test_bytes_that_are_no_text_are_refused(page: YourFit, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(b"nonzero_params,loss\n\xff\xfe,1\n")
    page.bring(path)
    assert page.text("refused").startswith("bad.csv: cannot be read as a table")


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("resamples", "-1", "resamples is a whole number from 0 to 5000, got -1"),
        ("resamples", "1.5", "resamples is a whole number"),
        ("seed", "", "seed is a whole number"),
        ("delta", "0", "--delta must be positive and finite, got 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    page: YourFit, tmp_path: Path, name: str, value: str, told: str
) -> None:
    path = tmp_path / "good.csv"
    path.write_text(text())
    page.bring(path)
    before = page.page.input_value(f"#yourfit-{name}")
    page.page.fill(f"#yourfit-{name}", value)
    assert page.fit().startswith(told)
    page.page.fill(f"#yourfit-{name}", before)


# ---- tables, files, the planner ---------------------------------------------------------------
def test_other_names_units_and_separators_give_the_same_fit(page: YourFit, tmp_path: Path) -> None:
    runs = random_runs(5)
    path = tmp_path / "stranger.tsv"
    head = '"size, millions"\tleft %\ttokens\tval\twhat\n'
    rows = zip(runs.N / 1e6, 100 * (1 - runs.S), runs.D, runs.L, strict=True)
    path.write_text(
        "\ufeff"
        + head
        + "".join(
            f'{n!r}\t{s!r}\t{d!r}\t{v!r}\t"a""b"\r\n'
            for n, s, d, v in (map(float, row) for row in rows)
        )
    )
    page.bring(
        path,
        {
            "nonzero_params": "size, millions*1e6",
            "sparsity": "1-left %*0.01",
            "data_seen": "tokens",
            "loss": "val",
        },
    )
    assert 'a"b' in page.text("rows")
    page.settings(DEFAULT_OBJECTIVE, resamples=0)
    assert page.fit() == ""
    assert_same_fit(page.law(tmp_path), python_fit("random 5", 40))


@pytest.fixture(scope="module")
def example(browser: Browser, site: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The page on its example, served, with a law saved."""
    opener = Opener(browser, site)
    opened = opener("book/your_fit")
    requests: list[str] = []
    opened.page.on("request", lambda r: requests.append(r.url))
    shown = YourFit(opened.page, opened.watch)
    opened.page.click(".yourfit-example")
    opened.page.wait_for_selector(".yourfit-rows td")
    shown.page.fill("#yourfit-resamples", "100")
    assert shown.fit() == ""
    law = shown.law(tmp_path_factory.mktemp("law"))
    shown.watch.assert_clean()
    yield shown, law, list(requests)
    for context in opener.contexts:
        context.close()


def test_a_fit_asks_the_network_for_nothing(example: Any) -> None:
    requests = example[2]
    assert [url for url in requests if not url.startswith("blob:")] == []


def test_the_page_lets_its_scripts_reach_nothing(example: Any) -> None:
    """The policy of the page holds in its worker, too, and lets no other worker run."""
    page = example[0].page
    fetched = "fetch(url).then(() => 'reached', () => 'refused')"
    assert page.evaluate(f"url => {fetched}", page.url) == "refused"
    inside = """url => new Promise((tell) => {
      const text = `const url = "${url}"; FETCHED.then(postMessage)`;
      const worker = new Worker(URL.createObjectURL(new Blob([text])));
      worker.onmessage = ({ data }) => tell(data); })""".replace("FETCHED", fetched)
    assert page.evaluate(inside, page.url) == "refused"
    other = """url => new Promise((tell) => {
      document.addEventListener("securitypolicyviolation", (e) => tell(e.effectiveDirective));
      try { new Worker(url); } catch { /* told of by the event */ } })"""
    script = page.url.replace("book/your_fit.html", "_static/fit-worker.js")
    assert page.evaluate(other, script) == "worker-src"


def test_the_best_sparsity_is_that_of_simlib_by_the_saved_law(example: Any) -> None:
    shown, law, _ = example
    assert law.status == "converged"
    assert law.decides
    known = law.fitted_range
    for cost, N, flops in (
        ("sparse", known.nonzero_params[1], float(shown.page.input_value("#yourfit-flops"))),
        ("dense", 3e8, 1e22),
        ("sparse", 1e8, 1e23),
    ):
        shown.page.check(f".yourfit [name=cost][value={cost}]")
        shown.page.fill("#yourfit-size", repr(N))
        shown.page.fill("#yourfit-flops", repr(flops))
        best = best_sparsity(law, N, flops, cost, law.level)
        found = shown.page.evaluate(SHOWN)
        assert best.interval is not None
        # members of a law file keep eight digits
        np.testing.assert_allclose(found["sparse S"], [best.sparsity, *best.interval], atol=1e-6)
        np.testing.assert_allclose(found["sparse D"], [best.data_seen], rtol=1e-6)


def test_the_charts_draw_the_runs_and_the_best_sparsity(example: Any) -> None:
    shown, law, _ = example
    assert shown.page.is_visible(".vega-figure")
    runs = shown.page.evaluate(DRAWN, "runs")
    assert len(runs) == law.runs
    S, N, D, measured = (
        np.array([run[key] for run in runs])
        for key in ("sparsity", "nonzero_params", "data_seen", "measured")
    )
    off = law.predict(S, N, D) / measured - 1
    np.testing.assert_allclose([run["residual"] for run in runs], off, atol=1e-9)
    shown.page.check(".yourfit [name=cost][value=dense]")
    shown.page.fill("#yourfit-size", "3e8")
    for point in shown.page.evaluate(DRAWN, "optima")[::10]:
        best = best_sparsity(law, 3e8, point["flops"], "dense", law.level)
        found = [point["S"], point["low"], point["high"]]
        np.testing.assert_allclose(found, [best.sparsity, *best.interval], atol=1e-6)
    (reach,) = shown.page.evaluate(DRAWN, "reach")
    assert reach["flops"] == pytest.approx(float(cost_model("dense").flops(S, N, D).max()))


def test_the_command_that_is_named_reads_the_table_the_same_way(
    example: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown, law, _ = example
    data = shown.page.evaluate(f"() => {{ {PARTS} return own.example; }}")
    monkeypatch.chdir(tmp_path)
    Path("example.csv").write_text(data["text"])
    words = shlex.split(shown.text("command"))
    assert words[:2] == ["simlib", "fit"]
    done = CliRunner().invoke(fit_command, [*words[2:], "--resamples", "0", "--json"])
    assert done.exit_code == 0, done.output
    known = json.loads(done.stdout)
    for name in ("b_S", "b_N", "b_D", "c"):
        assert law.coefficients[name] == pytest.approx(known["coefficients"][name], rel=1e-6)


def test_the_planner_and_simlib_read_the_saved_law(
    example: Any, opened: Opener, tmp_path: Path
) -> None:
    _, law, _ = example
    path = tmp_path / "mine.json"
    law.save(path)
    done = CliRunner().invoke(plan_command, ["--law", str(path), "--flops", "1e22"])
    assert done.exit_code == 0, done.output
    planner = opened("book/planner")
    page = planner.page
    page.click(".planner-own summary")
    page.set_input_files(".planner-own [type=file]", str(path))
    page.wait_for_function("() => document.querySelector('[name=law]').value === 'own'")
    N, flops = (10.0 ** float(page.input_value(f".planner [name={n}]")) for n in ("N", "C"))
    best = best_sparsity(load_law(str(path)), N, flops, "dense", law.level)
    cells = page.evaluate(SHOWN.replace(".yourfit", ".planner"))
    np.testing.assert_allclose(cells["sparse S"], [best.sparsity, *best.interval], rtol=1e-9)
    path.write_text('{"form": "dense", "coefficients": {"A": 1}}')
    page.set_input_files(".planner-own [type=file]", str(path))
    page.wait_for_function(
        "() => document.querySelector('.planner-own-said').textContent.startsWith('Not read')"
    )
    assert "no file of a joint law" in page.inner_text(".planner-own-said")
    assert page.input_value(".planner [name=law]") == "own"
    planner.watch.assert_clean()
    tried = """() => new Promise((tell) => {
      document.addEventListener("securitypolicyviolation", (e) => tell(e.effectiveDirective));
      try { new Worker(URL.createObjectURL(new Blob(["1"]))); } catch { /* told of */ } })"""
    assert page.evaluate(tried) == "worker-src"  # nothing computes there but the page itself


def test_progress_is_shown_and_a_fit_can_be_stopped(page: YourFit, tmp_path: Path) -> None:
    runs, objective = known_runs("gpt-laptop")
    page.bring(written(tmp_path, runs))
    page.settings(objective, resamples=5000)
    page.page.click(".yourfit-fit")
    page.page.wait_for_function(
        "() => /^resampled runs: \\d+ of 5000$/.test("
        "document.querySelector('.yourfit-stage').textContent)"
    )
    assert 0 < page.page.evaluate("document.querySelector('.yourfit-progress').value") < 1
    page.page.click(".yourfit-stop")
    assert page.page.is_hidden(".yourfit-progress")
    assert page.page.is_enabled(".yourfit-fit")
    assert page.page.is_hidden(".yourfit-result")


def test_a_pasted_table_is_read_and_hostile_text_is_text(page: YourFit) -> None:
    hostile = "<img src=x onerror='window.hit = 1'>"
    page.page.fill(
        "#yourfit-text", text(header=f"{HEADER},{hostile}", rows=[f"{r},{hostile}" for r in ROWS])
    )
    page.page.wait_for_function(
        "t => document.querySelector('.yourfit-rows').innerText.includes(t)", arg=hostile
    )
    page.settings(DEFAULT_OBJECTIVE, resamples=0)
    assert page.fit() == ""
    assert page.page.evaluate("window.hit") is None
    assert "pasted.csv" in page.text("command")


def test_a_dropped_file_is_read(page: YourFit) -> None:
    drop = """text => { const data = new DataTransfer();
      data.items.add(new File([text], "dropped.csv"));
      document.querySelector(".yourfit-drop")
        .dispatchEvent(new DragEvent("drop", { dataTransfer: data, cancelable: true })); }"""
    page.page.evaluate(drop, text(header=f"{HEADER},note", rows=[f"{r},dropped" for r in ROWS]))
    page.page.wait_for_function(
        "() => document.querySelector('.yourfit-rows').innerText.includes('dropped')"
    )
    assert page.fit() == ""
    assert "dropped.csv" in page.text("command")
