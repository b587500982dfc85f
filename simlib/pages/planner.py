"""The planner page: its controls and charts, and the laws that its scripts compute with.

The page's scripts compute with the formulas of `simlib.laws.law`, `simlib.laws.optimum` and
`simlib.simulate` (`planner-law.js`) and fill the table and the charts (`planner.js`); everything
that those formulas need is handed over here.
"""

from __future__ import annotations

import html
import math
from dataclasses import asdict, dataclass
from typing import Any

import altair as alt

from simlib.analysis.calibration import demanded_widening
from simlib.analysis.numbers import count
from simlib.datasets import law_names, load_law
from simlib.fit.fittedlaw import FittedLaw
from simlib.laws.costs import FLOP_PER_PARAMETER_AND_DATUM
from simlib.laws.intervals import LEVEL
from simlib.laws.law import JointLaw
from simlib.laws.optimum import COSTS
from simlib.pages import charts
from simlib.pages.answer import PRESETS
from simlib.pages.names import spoken
from simlib.pages.optima import CONTOURS
from simlib.pages.scripts import data_script
from simlib.simulate.forecast import FAR_COMPUTE, FAR_DENSITY, FAR_SIZE_OR_DATA
from simlib.simulate.hardware import CATALOGUE, DEFAULT_UTILISATION
from simlib.simulate.limits import FLOP_PER_SERVED_TOKEN
from simlib.simulate.sense import SMALLEST, chance_loss
from simlib.simulate.speedup import two_four_cost

PRECISION, DEVICE = "bf16", "h100"  # of the fields for devices
MOST_SPARSE = 0.999  # the ceiling of the command that gives the same plan
COST_LABELS = {"dense": "dense: masks save nothing", "sparse": "sparse: zeros are skipped"}
ROWS = {
    "S": "Sparsity",
    "dense_params": "Parameters under the mask",
    "equivalent": "Dense model of equal loss on that data",
    "D": "Training data (tokens or images)",
    "loss": "Predicted loss (nats)",
}
RUNS = {"dense": "dense", "sparse": "best sparsity", "two_four": "2:4"}


@dataclass(frozen=True)
class Slider:
    """A slider of the page. `name` is its key in the link, the position is in `label`'s unit."""

    name: str
    label: str
    low: float
    high: float
    value: float
    step: float


SLIDERS = (
    # fine enough for the budgets that the first page links to
    Slider("N", "Non-zero parameters", 3, 12, 9, 0.01),
    Slider("C", "Compute, training and serving", 8, 28, 22, 0.01),
    Slider("serve", "Tokens or images to serve", 4, 16, 4, 0.1),  # the left end: none
    Slider("speedup", "2:4 speed-up, where the mask is on", 1, 2, 1, 0.05),
)


def planner_laws() -> dict[str, FittedLaw]:
    """Every shipped joint law that records the range of its runs, by name."""
    files = {name: load_law(name) for name in law_names()}
    return {name: f for name, f in files.items() if isinstance(f.law, JointLaw) and f.range}


def planner_data(laws: dict[str, FittedLaw]) -> dict[str, Any]:
    """What the script computes with: laws with their whole ensembles, cost models, constants."""
    two_four = two_four_cost(2.0)
    return {
        "level": LEVEL,
        "contours": CONTOURS,
        "costs": {name: asdict(cost) for name, cost in COSTS.items()},
        "constants": {
            "per_datum": FLOP_PER_PARAMETER_AND_DATUM,
            "per_served": FLOP_PER_SERVED_TOKEN,
            "two_four_share": 2 * (1 - two_four.dense_share),
            "far_size_or_data": FAR_SIZE_OR_DATA,
            "far_compute": FAR_COMPUTE,
            "far_density": FAR_DENSITY,
            "smallest": SMALLEST,
            "most_sparse": MOST_SPARSE,
        },
        "laws": {name: _law_data(law_file) for name, law_file in laws.items()},
        # by the run table behind a law, for a law that the reader brings
        "widening": {f.table: demanded_widening(f) for f in laws.values() if f.table},
        "chance": {f.table: chance_loss(f) for f in laws.values() if f.table},
    }


def _law_data(law_file: FittedLaw) -> dict[str, Any]:
    ensemble = law_file.ensemble
    scatter = law_file.log_rmse
    return {
        "noise": None if math.isnan(scatter) else scatter,
        "widen": demanded_widening(law_file),
        "chance": chance_loss(law_file),
        "why_not": law_file.why_not,
        "names": law_file.joint.names(),
        "law": law_file.joint.vector().tolist(),
        "members": [] if ensemble is None else ensemble.vector().tolist(),
        "range": law_file.fitted_range._asdict(),
    }


class Planner:
    """The controls and the table, which a page shows as HTML; its charts stand beside them."""

    def __init__(self, laws: dict[str, FittedLaw], chosen: str, cost: str) -> None:
        self.laws, self.chosen, self.cost = laws, chosen, cost

    def _repr_mimebundle_(self, **_options: Any) -> dict[str, str]:
        page = (
            '<div class="planner"><link rel="stylesheet" href="../_static/page-shown.css">'
            '<link rel="stylesheet" href="../_static/planner.css">'
            f'<div class="planner-controls">{self._law()}{self._cost()}{_presets()}{_sliders()}'
            f"</div>{_devices()}{OWN_LAW}"
            '<p class="planner-fitted"></p>'
            f'<p class="planner-said" role="status"></p>{_table()}<p class="planner-warned"></p>'
            '<p class="planner-same">The same from the command line: '
            '<code class="planner-command"></code></p>'
            f"{data_script(planner_data(self.laws))}"
            '<script defer src="../_static/page-shown.js"></script>'
            '<script defer src="../_static/planner-law.js"></script>'
            '<script defer src="../_static/planner.js"></script>'
            "<noscript><p>The plan is computed by JavaScript in the page.</p></noscript></div>"
        )
        return {"text/html": page, "text/plain": "planner"}

    def _law(self) -> str:
        options = "".join(
            f'<option value="{html.escape(name)}"{" selected" * (name == self.chosen)}>'
            f"{html.escape(_law_label(name, f))}</option>"
            for name, f in self.laws.items()
        )
        return (
            '<div><label for="planner-law">Law</label><div class="planner-choices">'
            f'<select id="planner-law" name="law">{options}</select> '
            '<button type="button" class="planner-runs">Go to its runs</button></div></div>'
        )

    def _cost(self) -> str:
        choices = "".join(
            f'<label><input type="radio" name="cost" value="{name}"'
            f"{' checked' * (name == self.cost)}> {COST_LABELS[name]}</label>"
            for name in COSTS
        )
        return (
            '<div role="radiogroup" aria-labelledby="planner-cost">'
            '<span id="planner-cost">Training cost</span>'
            f'<div class="planner-choices">{choices}</div></div>'
        )


def _law_label(name: str, law_file: FittedLaw) -> str:
    refits = f"{law_file.refits:,} refits" if law_file.refits else "no interval"
    words = spoken(name)
    return f"{name} ({refits})" if words == name else f"{words} ({name}, {refits})"


OWN_LAW = """<details class="planner-own"><summary>Plan with a law of your own</summary>
<p>Drop a law file here, choose one or paste its text: what <code>simlib fit --save</code> writes.
It is read in this page and sent nowhere; a link does not carry it.</p>
<p><label>Law file <input type="file" accept=".json,application/json"></label></p>
<p><label for="planner-pasted">Its text</label>
<textarea id="planner-pasted" rows="3" spellcheck="false"></textarea>
<button type="button" class="planner-read">Read it</button></p>
<p class="planner-own-said" role="status"></p></details>"""


def _presets() -> str:
    """Buttons that set size and compute to those of a dense run that people recognise."""
    buttons = " ".join(
        f'<button type="button" data-N="{math.log10(p.nonzero_params):.2f}" data-C="'
        f'{math.log10(FLOP_PER_PARAMETER_AND_DATUM * p.nonzero_params * p.data_seen):.2f}">'
        f"{count(p.nonzero_params)} on {count(p.data_seen)}</button>"
        for p in PRESETS
    )
    return (
        '<div role="group" aria-labelledby="planner-presets">'
        '<span id="planner-presets">Size and compute of a known run</span>'
        f'<div class="planner-choices planner-presets">{buttons}</div></div>'
    )


def _devices() -> str:
    """Fields that set the compute to what devices do in some days, as `simlib plan` counts it."""
    options = "".join(
        f'<option value="{device.flops_per_second(PRECISION)!r}"{" selected" * (name == DEVICE)}>'
        f"{html.escape(name)}</option>"
        for name, device in CATALOGUE.items()
        if PRECISION in device.peak
    )
    return (
        '<details class="planner-devices"><summary>Compute of devices and days</summary>'
        '<p class="planner-choices"><label>Devices <input type="number" min="1" value="8"></label> '
        f"<label>of kind <select>{options}</select></label> "
        '<label>for days <input type="number" min="0" step="any" value="14"></label> '
        f'<label>at % of their dense {PRECISION} peak <input type="number" min="1" max="100" '
        f'step="any" value="{100 * DEFAULT_UTILISATION:g}"></label> '
        '<button type="button">Set the compute</button></p>'
        '<p class="planner-devices-said" role="status"></p></details>'
    )


def _sliders() -> str:
    return "".join(
        f'<div><label for="planner-{s.name}">{s.label}</label>'
        f'<input type="range" id="planner-{s.name}" name="{s.name}" min="{s.low}" max="{s.high}" '
        f'step="{s.step}" value="{s.value}"><output for="planner-{s.name}"></output></div>'
        for s in SLIDERS
    )


def _table() -> str:
    """The runs of the plan, with room before them for those of a plan that is kept."""
    return (
        '<div class="planner-table" tabindex="0" role="region" aria-label="Runs of the plan">'
        f"{run_table(RUNS, kept=True)}</div>"
        '<p class="planner-choices"><button type="button" class="planner-keep">Keep this plan to '
        'compare</button> <button type="button" class="planner-drop" hidden>Drop the kept plan'
        "</button></p>"
    )


def run_table(runs: dict[str, str], kept: bool = False) -> str:
    """A table of the rows of a plan, with a column for each run, which a script fills.

    With `kept` there are hidden columns before them, for the same runs of another plan.
    """
    hidden = 'class="planner-kept" hidden'
    plans = (
        f'<tr><td></td><th scope="colgroup" colspan="{len(runs)}" {hidden}>Kept plan: '
        '<span class="planner-kept-said"></span></th>'
        f'<th scope="colgroup" colspan="{len(runs)}">This plan</th></tr>'
    )
    before = "".join(f'<th scope="col" {hidden}>{title}</th>' for title in runs.values())
    titles = "".join(f'<th scope="col">{title}</th>' for title in runs.values())
    body = "".join(
        f'<tr><th scope="row">{title}</th>'
        + "".join(f'<td {hidden} data-kept="{r}" data-key="{key}"></td>' for r in runs if kept)
        + "".join(f'<td data-run="{run}" data-key="{key}"></td>' for run in runs)
        + "</tr>"
        for key, title in ROWS.items()
    )
    head = f"{plans * kept}<tr><td></td>{before * kept}{titles}</tr>"
    return f"<table><thead>{head}</thead><tbody>{body}</tbody></table>"


def loss_chart() -> alt.LayerChart:
    """Loss against sparsity with its band, the three runs, and the interval of the best sparsity.

    A kept plan is a dashed line. The script of the page fills the data `curve` and `runs`.
    """
    x = alt.X("S:Q", title="Sparsity", axis=alt.Axis(format=".0%"), scale=alt.Scale(domain=[0, 1]))
    room = alt.Scale(zero=False, padding=20)  # pixels, for the name below the lowest point
    y = alt.Y("loss:Q", title="Predicted loss (nats)", scale=room)
    kept = "datum.plan === 'kept'"
    curve = (
        alt.Chart(alt.NamedData("curve"))
        .mark_line()
        .encode(
            x=x,
            y=y,
            detail="plan:N",
            strokeDash=alt.condition(kept, alt.value([5, 4]), alt.value([1, 0])),
            opacity=alt.condition(kept, alt.value(0.6), alt.value(1)),
        )
    )
    shade = charts.band(alt.NamedData("curve"), x, "low", "high")
    runs = alt.Chart(alt.NamedData("runs")).encode(y=y)
    spread = runs.mark_rule(strokeWidth=5, opacity=0.5, color=charts.ORANGE[0]).encode(
        x=alt.X("low_S:Q"), x2=alt.X2("high_S:Q")
    )
    points = runs.mark_point(filled=True, opacity=1, size=120, color=charts.ORANGE[0]).encode(x=x)
    # the best one is named below its point: it may lie on one of the others
    named = [
        runs.transform_filter(f"datum.run {equal} 'best'")
        .mark_text(align="left", dx=-8, dy=dy, fontSize=13, color=charts.ORANGE[0])
        .encode(x=x, text="run:N")
        for equal, dy in (("!==", -14), ("===", 17))
    ]
    layered = alt.layer(shade, curve, spread, points, *named)
    return layered.properties(datasets={"curve": [], "runs": []})


def map_chart() -> alt.LayerChart:
    """Training compute at which each sparsity is optimal, against size, with the reader's point.

    The dense runs that the law was fitted to are shaded. The script of the page fills the data
    `fitted`, `contours`, `dense` and `point`.
    """
    x = charts.log_x("nonzero_params", "Non-zero parameters")
    runs = charts.band(alt.NamedData("fitted"), x, "low", "high", charts.GREEN[0])
    y = alt.Y(
        "flops:Q",
        title="Training compute (FLOP)",
        scale=alt.Scale(type="log"),
        axis=alt.Axis(labelExpr="'1e' + round(log(datum.value) / LN10)", tickCount=8),
    )
    lines = alt.Chart(alt.NamedData("contours")).mark_line()
    optimum = alt.Chart(alt.NamedData("dense")).mark_line(
        strokeDash=[6, 4], color=charts.GREY[0], strokeWidth=2
    )
    here = alt.Chart(alt.NamedData("point")).encode(x=x, y=y)
    point = here.mark_point(filled=True, opacity=1, size=140, color=charts.ORANGE[0])
    name = here.mark_text(dy=-14, fontSize=13, color=charts.ORANGE[0]).encode(text="run:N")
    layered: alt.LayerChart = (
        runs
        + lines.encode(x=x, y=y, color=charts.sparsity_colour(CONTOURS))
        + optimum.encode(x=x, y=y)
        + point
        + name
    )
    return layered.properties(datasets={"fitted": [], "contours": [], "dense": [], "point": []})
