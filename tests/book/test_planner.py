"""The planner page: what it shows, moved by a reader's hands, is what simlib computes."""

import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
from browsing import READY, Opener
from click.testing import CliRunner
from playwright.sync_api import Page

from simlib import datasets
from simlib.analysis.calibration import demanded_widening
from simlib.cli import cli
from simlib.datasets import law_names, load_law
from simlib.laws.intervals import LEVEL
from simlib.laws.law import JointLaw
from simlib.laws.optimum import chinchilla_flops, contour, cost_model, optimal_sparsity
from simlib.pages.answer import PRESETS, Preset, planner_address
from simlib.pages.planner import SLIDERS, planner_laws
from simlib.simulate.best import BestSparsity, best_sparsity
from simlib.simulate.forecast import distance, forecast
from simlib.simulate.hardware import Cluster, accelerator
from simlib.simulate.limits import Limits
from simlib.simulate.sense import nonsense
from simlib.simulate.speedup import two_four_cost

FOLDER = Path(datasets.__file__).parent  # of the shipped law files
CLOSE = {"rtol": 1e-8}
KEYS = ("N", "C", "serve", "speedup")
CELLS = """() => Object.fromEntries([...document.querySelectorAll('.planner td[data-run]')].map(
  c => [c.dataset.run + ' ' + c.dataset.key,
        [...c.querySelectorAll('data')].map(d => Number(d.value))]))"""
ROWS = """async name => { for (const figure of document.querySelectorAll('.vega-figure'))
  if (JSON.parse(figure.querySelector('.vega-spec').textContent).datasets[name]) {
    await figure._view.runAsync();
    return figure._view.data(name); } }"""


@dataclass
class Planner:
    """The open page, read and moved."""

    page: Page

    def position(self, name: str) -> str:
        """Where a control stands, as it stands in the link."""
        checked = ":checked" if name == "cost" else ""
        return self.page.input_value(f".planner [name={name}]{checked}")

    @property
    def setting(self) -> dict[str, str]:
        return {name: self.position(name) for name in ("law", "cost", *KEYS)}

    def press(self, name: str, keys: str) -> None:
        self.page.focus(f".planner [name={name}]")
        for key in keys.split():
            self.page.keyboard.press(key)

    def choose(self, law: str, cost: str) -> None:
        self.page.select_option(".planner [name=law]", law)
        self.page.check(f".planner [name=cost][value={cost}]")

    def go_to_runs(self) -> None:
        self.page.click(".planner-runs")

    def cells(self) -> dict[str, list[float]]:
        """Every number of the table with its interval, by run and row."""
        found: dict[str, list[float]] = self.page.evaluate(CELLS)
        return found

    def rows(self, name: str) -> dict[str, np.ndarray]:
        """The numbers of one of the data sets that the charts draw, by column."""
        table = self.page.evaluate(ROWS, name)
        numeric = [key for key, value in table[0].items() if not isinstance(value, str)]
        return {key: np.array([row[key] for row in table], dtype=float) for key in numeric}

    @property
    def curve_hidden(self) -> bool:
        """Whether the chart of losses is left out."""
        return self.page.eval_on_selector(".vega-figure", "f => f.hidden")

    def text(self, name: str) -> str:
        return self.page.inner_text(f".planner-{name}")


@dataclass
class Expected:
    """The same setting, by simlib."""

    setting: dict[str, str]

    def __post_init__(self) -> None:
        self.file = load_law(self.setting["law"])
        self.cost = cost_model(self.setting["cost"])
        self.N, flops, served, self.speedup = (
            float(self.setting[k]) if k == "speedup" else 10.0 ** float(self.setting[k])
            for k in KEYS
        )
        none = float(self.setting["serve"]) == next(s.low for s in SLIDERS if s.name == "serve")
        limits = Limits(serve_tokens=0.0 if none else served)
        self.flops = flops - self.N * float(limits.serving_flops(0.0))

    @cached_property
    def best(self) -> BestSparsity:
        return best_sparsity(self.file, self.N, self.flops, self.cost.name, LEVEL)

    def interval(self, S: float, D: float) -> list[float]:
        if self.file.ensemble is None:
            return []
        widen = demanded_widening(self.file)
        found = forecast(self.file, S, self.N, D, level=LEVEL, widen=widen)
        return [float(found.low), float(found.high)]

    @property
    def refused(self) -> bool:
        """Whether a run of the plan means nothing."""
        if self.flops <= 0:
            return True
        best = float(optimal_sparsity(self.file.joint, self.N, self.flops, self.cost))
        runs = ((0.0, self.cost), (best, self.cost), (0.5, two_four_cost(self.speedup)))
        points = [(S, float(c.data_seen(S, self.N, self.flops))) for S, c in runs]
        return any(
            nonsense(self.file, self.N, D, float(self.file.joint(S, self.N, D))) for S, D in points
        )

    def wins(self) -> str:
        """In how many members the best sparse run has a lower loss than the dense run."""
        members, best = self.file.members(), self.best
        dense = members(0.0, self.N, self.cost.data_seen(0.0, self.N, self.flops))
        sparse = members(best.sparsity, self.N, best.data_seen)
        return f"{int((sparse < dense).sum()):,} of {len(dense):,}"

    def cells(self) -> dict[str, list[float]]:
        best, law = self.best, self.file.joint
        cells = {}
        for run, S, cost in (
            ("dense", 0.0, self.cost),
            ("sparse", best.sparsity, self.cost),
            ("two_four", 0.5, two_four_cost(self.speedup)),
        ):
            D = float(cost.data_seen(S, self.N, self.flops))
            cells[f"{run} S"] = [S]
            cells[f"{run} dense_params"] = [self.N / (1 - S)]
            cells[f"{run} equivalent"] = [float(law.multiplier(S)) * self.N]
            cells[f"{run} D"] = [D]
            cells[f"{run} loss"] = [float(law(S, self.N, D)), *self.interval(S, D)]
        cells["sparse S"] += best.interval or ()
        return cells


def assert_same(planner: Planner) -> None:
    """The table, the curve with its band, the map and the warning are simlib's."""
    expected = Expected(planner.setting)
    shown = planner.cells()
    assert planner.curve_hidden == expected.refused
    if expected.refused:
        assert all(values == [] for values in shown.values())
        told = planner.text("said")
        assert re.search("means nothing|no model|Serving alone", told)
    else:
        known = expected.cells()
        assert shown.keys() == known.keys()
        for name, values in known.items():
            np.testing.assert_allclose(shown[name], values, **CLOSE, err_msg=name)
        assert_same_curve(planner, expected)
    assert_same_map(planner, expected)
    weak, warned = expected.file.why_not, planner.text("warned")
    assert (weak in warned) if weak else "Let nothing rest" not in warned
    if expected.refused:
        return
    if expected.best.sparsity > 0 and expected.file.ensemble is not None:
        assert f"in {expected.wins()} refits" in planner.text("said")
    far = distance(expected.file, expected.best.sparsity, expected.N, expected.best.data_seen)
    assert ("outside the fitted runs" in warned) == bool(far.far)


def assert_same_curve(planner: Planner, expected: Expected) -> None:
    law_file, N = expected.file, expected.N
    curve, S = planner.rows("curve"), np.linspace(0, 0.99, 100)
    D = expected.cost.data_seen(S, N, expected.flops)
    losses = law_file.joint(S, N, D)
    points = zip(D, losses, strict=True)
    told = np.array([nonsense(law_file, N, float(d), float(loss)) is None for d, loss in points])
    np.testing.assert_allclose(curve["S"], S[told], **CLOSE)
    np.testing.assert_allclose(curve["loss"], losses[told], **CLOSE)
    if law_file.ensemble is not None:
        widen, some = demanded_widening(law_file), slice(None, None, 15)
        found = forecast(law_file, S[told][some], N, D[told][some], level=LEVEL, widen=widen)
        np.testing.assert_allclose(curve["low"][some], found.low, **CLOSE)
        np.testing.assert_allclose(curve["high"][some], found.high, **CLOSE)


def assert_same_map(planner: Planner, expected: Expected) -> None:
    law, N = expected.file.joint, expected.N
    lines, dense = planner.rows("contours"), planner.rows("dense")
    costs = [
        contour(law, s, n, expected.cost)
        for s, n in zip(lines["sparsity"], lines["nonzero_params"], strict=True)
    ]
    np.testing.assert_allclose(lines["flops"], costs, **CLOSE)
    optimum = chinchilla_flops(law, dense["nonzero_params"])
    np.testing.assert_allclose(dense["flops"], optimum, **CLOSE)
    fitted = planner.rows("fitted")
    ranges = expected.file.fitted_range
    np.testing.assert_allclose(fitted["nonzero_params"], ranges.nonzero_params, **CLOSE)
    for end, D in zip(("low", "high"), ranges.data_seen, strict=True):
        costs = cost_model("dense").flops(0.0, fitted["nonzero_params"], D)
        np.testing.assert_allclose(fitted[end], costs, **CLOSE)
    point = planner.rows("point")
    np.testing.assert_allclose(
        [point["nonzero_params"], point["flops"]], [[N], [expected.flops]], **CLOSE
    )


MOVES = {
    "as it opens": ("t5-c4-refit", "sparse", {}),
    "dense cost": ("t5-c4-refit", "dense", {"C": "ArrowRight ArrowRight", "N": "PageUp"}),
    "images, served": ("vit-jft-refit", "sparse", {"N": "PageDown", "serve": "PageUp PageUp"}),
    "published, 2:4": ("t5-c4", "dense", {"speedup": "End ArrowLeft", "C": "PageUp"}),
    "no sparsity pays": ("vit-jft-refit", "dense", {"N": "End", "C": "PageDown"}),
    "small": ("vit-jft-refit", "sparse", {"N": "Home PageUp", "C": "PageDown PageDown"}),
    "ours": ("gpt-laptop", "sparse", {"N": "PageDown PageDown", "C": "PageDown PageDown PageDown"}),
    "ours, images": ("vit-laptop", "dense", {"N": "Home", "C": "Home PageUp", "serve": "PageUp"}),
    "rich": ("t5-c4-refit-body", "sparse", {"C": "End", "speedup": "PageUp"}),
}


@pytest.mark.parametrize("move", MOVES)
def test_the_page_computes_what_simlib_computes(opened: Opener, move: str) -> None:
    page = opened("book/planner")
    planner = Planner(page.page)
    law, cost, moves = MOVES[move]
    planner.choose(law, cost)
    for name, keys in moves.items():
        before = planner.position(name)
        planner.press(name, keys)
        assert planner.position(name) != before
    assert_same(planner)
    page.watch.assert_clean()
    assert not page.watch.warnings


def test_every_shipped_joint_law_can_be_chosen(opened: Opener) -> None:
    planner = Planner(opened("book/planner").page)
    joint = {name for name in law_names() if isinstance(load_law(name).law, JointLaw)}
    assert set(planner_laws()) == joint
    options = "os => os.map(o => o.value)"
    assert set(planner.page.eval_on_selector_all("#planner-law option", options)) == joint
    for law in sorted(joint):
        planner.choose(law, "sparse")
        assert_same(planner)
        planner.go_to_runs()
        assert_same(planner)
        planner.press("N", "ArrowLeft ArrowLeft")
        planner.press("C", "ArrowRight ArrowRight ArrowRight")
        assert_same(planner)


@pytest.mark.parametrize("law", ["gpt-laptop", "vit-laptop", "t5-c4-refit"])
def test_a_law_reaches_its_own_runs_and_says_so_far_from_them(opened: Opener, law: str) -> None:
    """The sliders' ranges hold the runs behind every law, of thousands of parameters on."""
    page = opened("book/planner")
    planner = Planner(page.page)
    planner.choose(law, "dense")
    planner.press("serve", "PageUp")
    planner.go_to_runs()
    ranges = load_law(law).fitted_range
    N, D = ranges.nonzero_params[1], ranges.data_seen[1]
    setting = planner.setting
    assert 10 ** float(setting["N"]) == pytest.approx(N, rel=0.07)
    assert 10 ** float(setting["C"]) == pytest.approx(6 * N * D, rel=0.07)
    assert setting["serve"] == next(str(s.low) for s in SLIDERS if s.name == "serve")
    assert planner.cells()["dense D"] == [pytest.approx(D, rel=0.15)]
    assert "times in" not in planner.text("warned")
    page.page.wait_for_function(f"() => location.hash.includes('N={setting['N']}')")
    for name, key in (("N", "Home"), ("N", "End"), ("C", "End")):
        planner.press(name, key)
        assert planner.curve_hidden or "times in" in planner.text("warned")
        assert_same(planner)
    page.watch.assert_clean()


@pytest.mark.parametrize("preset", [0, 1])
def test_simlib_plan_gives_the_same_plan(opened: Opener, preset: int) -> None:
    """The command under the table, run as it stands there."""
    planner = Planner(opened("book/planner").page)
    planner.page.click(f".planner-presets button >> nth={preset}")
    planner.press("serve", "PageUp PageUp")
    planner.press("speedup", "ArrowRight")
    words = planner.text("command").split()
    assert words[:2] == ["simlib", "plan"]
    done = CliRunner().invoke(cli, [*words[1:], "--json"])
    assert done.exit_code == 0, done.output
    plan, shown = json.loads(done.output), planner.cells()
    for run, key in (("dense", "dense"), ("sparse", "sparse"), ("two_four", "2_4")):
        choice = plan[key]
        assert shown[f"{run} loss"] == pytest.approx([choice["loss"], *choice["interval"]], 1e-5)
        assert shown[f"{run} D"] == [pytest.approx(choice["data_seen"], 1e-5)]
    wanted = [plan["sparse"]["sparsity"], *plan["sparse"]["sparsity_interval"]]
    assert shown["sparse S"] == pytest.approx(wanted, abs=1e-5)
    ahead, of = re.search(r"in ([\d,]+) of ([\d,]+) refits", planner.text("said")).groups()
    share = int(ahead.replace(",", "")) / int(of.replace(",", ""))
    assert share == plan["probability_sparse_wins"]


def test_a_kept_plan_stands_beside_the_next_and_in_the_link(opened: Opener) -> None:
    page = opened("book/planner")
    planner = Planner(page.page)
    first = planner.cells()
    page.page.click(".planner-keep")
    planner.choose("vit-jft-refit", "dense")
    known = Expected(planner.setting).cells()
    assert planner.cells() == {
        name: pytest.approx(value, rel=1e-8) for name, value in known.items()
    }
    read = CELLS.replace("data-run", "data-kept").replace("dataset.run", "dataset.kept")
    assert page.page.evaluate(read) == first
    assert "T5 on C4" in planner.text("kept-said")
    plans = page.page.evaluate(ROWS, "curve")
    assert {row["plan"] for row in plans} == {"this", "kept"}
    page.page.wait_for_function("() => location.hash.includes('kept=')")
    page.page.reload()
    page.page.wait_for_function(READY)
    assert page.page.evaluate(read) == first
    page.page.click(".planner-drop")
    assert not page.page.is_visible(".planner-kept-said")
    page.watch.assert_clean()


def test_a_law_of_ones_own_gives_the_plan_of_that_law(opened: Opener) -> None:
    page = opened("book/planner", as_file=True)
    planner = Planner(page.page)
    planner.choose("gpt-laptop", "sparse")
    planner.go_to_runs()
    known = planner.cells()
    planner.choose("t5-c4", "dense")
    page.page.eval_on_selector(".planner-own", "box => { box.open = true; }")
    path = FOLDER / "gpt-laptop.json"
    page.page.fill("#planner-pasted", path.read_text())
    page.page.check(".planner [name=cost][value=sparse]")
    page.page.click(".planner-read")
    assert planner.position("law") == "own"
    assert planner.cells() == known
    page.page.set_input_files(".planner-own [type=file]", path)
    page.page.wait_for_function("() => document.querySelector('.planner select').value === 'own'")
    assert planner.cells() == known
    page.watch.assert_clean()


def broken(**changes: object) -> str:
    return json.dumps({**json.loads((FOLDER / "gpt-laptop.json").read_text()), **changes})


NOT_LAWS = {
    "no JSON": lambda: "a law",
    "joint": lambda: broken(form="density_power"),
    "the law is not 7 numbers": lambda: broken(coefficients={"a_S": 1}),
    "member 1 is not 7 numbers": lambda: broken(ensemble=[[1, 2]]),
    "too small": lambda: broken(ensemble=[[1, 1, 1, 0, 1, 1, 1]]),
    "the range of data_seen": lambda: broken(
        range={"sparsity": [0, 0.5], "nonzero_params": [1, 2]}
    ),
}


@pytest.mark.parametrize("told", NOT_LAWS)
def test_what_is_no_law_is_refused_in_a_sentence(opened: Opener, told: str) -> None:
    page = opened("book/planner")
    planner = Planner(page.page)
    before = planner.cells()
    page.page.eval_on_selector(".planner-own", "box => { box.open = true; }")
    page.page.fill("#planner-pasted", NOT_LAWS[told]())
    page.page.click(".planner-read")
    assert told in planner.text("own-said")
    assert planner.text("own-said").startswith("Not read: ")
    assert planner.cells() == before
    page.watch.assert_clean()


def test_devices_and_days_are_the_budget_that_simlib_counts(opened: Opener) -> None:
    """8 H100 for two weeks, without leaving the page, as `simlib plan --gpu-hours` takes them."""
    planner = Planner(opened("book/planner").page)
    planner.page.click(".planner-devices summary")
    planner.page.click(".planner-devices button")
    flops = 8 * 14 * 24 * Cluster(accelerator("h100")).flops_per_device_hour
    assert 10 ** float(planner.setting["C"]) == pytest.approx(flops, rel=0.02)
    assert planner.text("devices-said").startswith("2.69K device-hours, ")
    assert_same(planner)
    planner.page.fill(".planner-devices input >> nth=1", "0")
    planner.page.click(".planner-devices button")
    assert "positive" in planner.text("devices-said")


@pytest.mark.parametrize("preset", PRESETS)
def test_a_link_of_the_first_page_opens_its_own_budget(opened: Opener, preset: Preset) -> None:
    flops = 6 * preset.nonzero_params * preset.data_seen
    address = planner_address("t5-c4-refit", preset.nonzero_params, flops)
    page = opened("book/planner").page
    page.goto(page.url + "#" + address.partition("#")[2])
    there = "c => Number(document.querySelector('.planner [name=C]').value) === c"
    page.wait_for_function(there, arg=round(float(np.log10(flops)), 2))
    assert 10 ** float(Planner(page).setting["C"]) == pytest.approx(flops, rel=0.012)


def test_the_number_of_members_is_said(opened: Opener) -> None:
    text = opened("book/planner").page.inner_text("main")
    sizes = {len(f.ensemble.vector()) for f in planner_laws().values() if f.ensemble is not None}
    assert all(f"{size:,} refits" in text for size in sizes)


def test_the_link_brings_the_setting_back(opened: Opener) -> None:
    first = Planner(opened("book/planner", as_file=True).page)
    first.choose("vit-jft-refit", "sparse")
    for name in KEYS:
        first.press(name, "ArrowRight ArrowRight ArrowRight")
    first.page.wait_for_function("() => location.hash.includes('law=vit-jft-refit')")
    second = Planner(opened("book/planner").page)
    default = second.setting
    assert all(default[name] != value for name, value in first.setting.items())
    second.page.goto(second.page.url + "#" + first.page.url.partition("#")[2])
    second.page.wait_for_function(
        "() => document.querySelector('.planner [name=law]').value[0] == 'v'"
    )
    assert (second.setting, second.cells()) == (first.setting, first.cells())
    second.page.reload()
    second.page.wait_for_function(READY)
    assert (second.setting, second.cells()) == (first.setting, first.cells())
    assert_same(second)


BAD = (
    "law=none&cost=free&N=99&C=-3&serve=x&speedup=",
    "N=NaN&C=1e999&law=",
    "=&&%ff",
    "law",
    "N=0x9&C=Infinity&law=__proto__&speedup=0.5",
)


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_link_gives_the_defaults(opened: Opener, bad: str) -> None:
    page = opened("book/planner")
    planner = Planner(page.page)
    default = planner.setting
    page.page.goto(page.page.url + "#" + bad)
    page.page.reload()
    page.page.wait_for_function(READY)
    assert planner.setting == default
    page.watch.assert_clean()


def test_what_is_good_in_a_bad_link_is_kept(opened: Opener) -> None:
    page = opened("book/planner").page
    planner = Planner(page)
    default = planner.setting
    page.goto(page.url + "#N=11&C=many&law=t5-c4")
    page.reload()
    page.wait_for_function(READY)
    assert planner.setting == default | {"N": "11", "law": "t5-c4"}
    assert_same(planner)


def test_a_link_to_a_heading_keeps_the_setting(opened: Opener) -> None:
    planner = Planner(opened("book/planner").page)
    planner.press("N", "PageUp")
    planner.page.wait_for_function("() => location.hash.includes('N=')")
    before = planner.setting
    planner.page.evaluate("location.hash = 'what-is-computed'")
    planner.page.wait_for_timeout(100)
    assert planner.setting == before


def test_serving_that_takes_all_of_the_compute_is_said(opened: Opener) -> None:
    page = opened("book/planner")
    planner = Planner(page.page)
    for name, key in (("N", "End"), ("C", "Home"), ("serve", "End")):
        planner.press(name, key)
    assert "Serving alone takes" in planner.text("said")
    assert all(values == [] for values in planner.cells().values())
    assert planner.curve_hidden
    assert not re.search("NaN|Infinity|undefined", page.page.inner_text("main"))
    planner.press("serve", "Home")
    assert_same(planner)
    page.watch.assert_clean()


def test_another_theme_keeps_the_plan(opened: Opener) -> None:
    page = opened("book/planner").page
    planner = Planner(page)
    planner.press("C", "PageUp")
    before = planner.cells()
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    page.wait_for_function(READY.replace("f.dataset.ready", "f.dataset.ready === 'dark'"))
    assert planner.cells() == before
    assert_same(planner)


def test_open_numbers_follow_the_controls(opened: Opener) -> None:
    page = opened("book/planner").page
    figure = page.query_selector(".vega-figure")
    figure.query_selector(".vega-numbers > summary").click()
    before = figure.wait_for_selector(".numbers-table").inner_text()
    Planner(page).press("C", "PageUp")
    page.wait_for_function(
        "t => document.querySelector('.numbers-table').innerText !== t", arg=before
    )


def test_the_page_is_light(opened: Opener) -> None:
    sizes = """() => [...performance.getEntriesByType('navigation'),
        ...performance.getEntriesByType('resource')].map(e => e.decodedBodySize)"""
    taken = opened("book/planner").page.evaluate(sizes)
    assert len(taken) > 5
    assert sum(taken) < 5e6
