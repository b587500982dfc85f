"""The page that fits a reader's own runs: its controls, its charts, what its scripts compute with.

The scripts read the table (`fit-table.js`), fit the joint law (`fit-law.js`, `fit-solver.js`) in a
worker (`fit-worker.js`), refit resampled runs (`fit-bootstrap.js`) and show the result
(`fit-report.js`, `your-fit.js`), as `simlib.runs` and `simlib.fit` do. Every number that those take
is handed over here.
"""

from __future__ import annotations

import html
from typing import Any

import altair as alt
from pydantic import ValidationError

import simlib
from simlib.fit import ABSENT, EQUAL, MANY, MORE_STARTS, SMOOTH, bootstrap, newton, problem
from simlib.fit.diagnosis import AGREEMENT
from simlib.fit.fittedlaw import ENOUGH, SIGNIFICANT
from simlib.fit.objective import DEFAULT_OBJECTIVE
from simlib.fit.observations import DIGITS
from simlib.fit.profile import WIDE
from simlib.laws.intervals import LEVEL
from simlib.laws.law import JOINT
from simlib.laws.optimum import COSTS
from simlib.laws.precision import FULL
from simlib.pages import charts
from simlib.pages.planner import COST_LABELS, RUNS, planner_data, run_table
from simlib.pages.scripts import data_script
from simlib.runs import cellfile, foreign
from simlib.runs.cells import SAME_DENSITY, SAME_SIZE
from simlib.runs.table import FIELDS, RunRecord
from simlib.simulate.example import COLUMNS, simulated_runs, stranger_text

SCRIPTS = (
    *("page-shown.js", "planner-law.js", "fit-law.js", "fit-solver.js", "fit-bootstrap.js"),
    *("fit-worker.js", "fit-table.js", "fit-report.js", "your-fit.js"),
)
STARTS = 25
RESAMPLES = 400
MOST_RESAMPLES = 5000
LABELS = {
    "nonzero_params": "Non-zero parameters",
    "sparsity": "Sparsity, a fraction",
    "data_seen": "Tokens or images seen",
    "loss": "Validation loss, nats",
}
GROUPS = {
    "runs": "single runs",
    "cells": "cells: the seeds of one sparsity, size and data together",
    "curves": "curves: one sparsity and size, all of its data, together",
}
BOUNDS = {  # of a JSON schema, in the order in which pydantic asks them
    "maximum": "<=",
    "exclusiveMaximum": "<",
    "minimum": ">=",
    "exclusiveMinimum": ">",
}


def page_data() -> dict[str, Any]:
    """What the scripts compute with: the form, the solver's numbers, the rules of a run table."""
    return {
        "version": simlib.__version__,
        "level": LEVEL,
        "wide": WIDE,
        "enough": ENOUGH,
        "significant": SIGNIFICANT,
        "absent": ABSENT,
        "starts": STARTS,
        "labels": LABELS,
        "form": {
            "name": JOINT.name,
            "names": JOINT.names,
            "lower": JOINT.lower.tolist(),
            "upper": JOINT.upper.tolist(),
            "amplitudes": JOINT.amplitudes.tolist(),
            "valleys": JOINT.valleys,
            "distinct": JOINT.distinct,
        },
        "settings": _settings(),
        "rules": _rules(),
        "planner": planner_data({}),
        "example": {
            "text": stranger_text(simulated_runs()),
            "columns": dict(pair.split("=") for pair in COLUMNS.split(",")),
        },
    }


def _settings() -> dict[str, float]:
    """The numbers of the solver, its starts and its refits, by the names that the scripts use."""
    return {
        "tolerance": newton.TOLERANCE,
        "ridge": newton.RIDGE,
        "least": newton.LEAST,
        "damping": newton.DAMPING,
        "less": newton.LESS,
        "more": newton.MORE,
        "steps": newton.STEPS,
        "many": MANY,
        "agree": bootstrap.AGREE,
        "equal": EQUAL,
        "agreement": AGREEMENT,
        "wide": MORE_STARTS,
        "smooth": SMOOTH,
        "nothing": bootstrap.NOTHING,
        "long": bootstrap.LONG,
        "least_squares": bootstrap.LEAST_SQUARES,
        "probes": bootstrap.PROBES,
        "rounds": bootstrap.ROUNDS,
        "some": bootstrap.SOME,
        "gone": problem.GONE,
        "lifted": problem.LIFTED,
        "same_size": SAME_SIZE,
        "same_density": SAME_DENSITY,
    }


def _rules() -> dict[str, Any]:
    """What is refused of a table."""
    return {
        "fields": field_rules(),
        "essential": foreign.ESSENTIAL,
        "counts": foreign.COUNTS,
        "most_nats": foreign.MOST_NATS,
        "fewest": foreign.FEWEST,
        "hints": foreign.HINTS,
        "delimiters": cellfile.DELIMITERS,
        "digits": DIGITS,
        "full_bits": FULL,
    }


def field_rules() -> list[dict[str, Any]]:
    """For each field of a run table what its text must be, and what is said where it is not.

    Kinds, bounds and choices are those of the schema, the sentences those that the schema says:
    each is asked with a text that breaks it.
    """
    properties = RunRecord.model_json_schema()["properties"]
    return [_field_rule(name, properties[name]) for name in FIELDS]


def _field_rule(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    own = schema.get("anyOf", [schema])[0]  # the other one is none at all
    checks = [
        {"keeps": keeps, "limit": own[bound], "message": _message(name, _beyond(bound, own[bound]))}
        for bound, keeps in BOUNDS.items()
        if bound in own
    ]
    endless = _refused(name, "inf") if own["type"] == "number" else None
    if endless and endless["type"] == "finite_number":
        checks.insert(0, {"keeps": "finite", "limit": None, "message": endless["msg"]})
    if "enum" in own:
        said = _message(name, "not one of them")
        checks.append({"keeps": "one of", "limit": own["enum"], "message": said})
    unread = "" if own["type"] == "string" else _message(name, "not one of them")
    default = RunRecord.model_fields[name].default
    required = RunRecord.model_fields[name].is_required()
    return {
        "name": name,
        "kind": own["type"],
        "initial": None if required else default,
        "required": _message(name, None) if required else "",
        "unread": unread,
        "checks": checks,
    }


def _beyond(bound: str, limit: float) -> str:
    """A text just outside a bound."""
    if bound.startswith("exclusive"):
        return str(limit)
    return str(10 * abs(limit) + 1) if bound == "maximum" else str(-10 * abs(limit) - 1)


def _refused(name: str, text: str | None) -> Any:
    """What the schema says of a record with this text in a field, None for without it."""
    row = {"nonzero_params": "1", "sparsity": "0", "data_seen": "1", "loss": "1", name: text}
    try:
        RunRecord.model_validate({key: value for key, value in row.items() if value is not None})
    except ValidationError as error:
        return next((e for e in error.errors() if e["loc"] == (name,)), None)
    return None


def _message(name: str, text: str | None) -> str:
    refused = _refused(name, text)
    assert refused is not None, f"{name} takes {text!r}"
    return str(refused["msg"])


class YourFit:
    """The controls and tables of the page, shown as HTML; its charts stand beside them."""

    def _repr_mimebundle_(self, **_options: Any) -> dict[str, str]:
        scripts = "".join(f'<script defer src="../_static/{name}"></script>' for name in SCRIPTS)
        page = (
            '<div class="yourfit"><link rel="stylesheet" href="../_static/page-shown.css">'
            '<link rel="stylesheet" href="../_static/your-fit.css">'
            f"{_table_part()}{_columns_part()}{_settings_part()}{_progress_part()}{_result_part()}"
            f"{data_script(page_data())}{scripts}"
            "<noscript><p>The fit is computed by JavaScript in the page.</p></noscript></div>"
        )
        return {"text/html": page, "text/plain": "fit of your own runs"}


def _table_part() -> str:
    return (
        '<div class="yourfit-drop"><p><label for="yourfit-file">Drop a CSV file here, or choose one'
        '</label> <input type="file" id="yourfit-file" accept=".csv,.tsv,.txt,text/csv"></p>'
        '<p><label for="yourfit-text">or paste its rows, header first</label>'
        '<textarea id="yourfit-text" rows="5" spellcheck="false"></textarea></p>'
        '<p><button type="button" class="yourfit-example">Take an example</button></p></div>'
        '<div class="yourfit-rows" tabindex="0" role="region" aria-label="First rows"></div>'
    )


def _columns_part() -> str:
    fields = "".join(
        f'<div><label for="yourfit-{name}">{label}</label>'
        f'<input type="text" id="yourfit-{name}" name="{name}" list="yourfit-names" '
        'autocomplete="off" spellcheck="false"></div>'
        for name, label in LABELS.items()
    )
    return (
        '<fieldset class="yourfit-grid"><legend>Where they are</legend>'
        f'{fields}<datalist id="yourfit-names"></datalist></fieldset>'
    )


def _settings_part() -> str:
    groups = "".join(f'<option value="{key}">{text}</option>' for key, text in GROUPS.items())
    delta = DEFAULT_OBJECTIVE.delta
    return (
        '<fieldset class="yourfit-grid"><legend>How to fit</legend>'
        '<div><label for="yourfit-resamples">Resampled tables</label><input type="number" '
        f'id="yourfit-resamples" min="0" max="{MOST_RESAMPLES}" step="1" value="{RESAMPLES}"></div>'
        '<div><label for="yourfit-group">Drawn whole</label>'
        f'<select id="yourfit-group">{groups}</select></div>'
        '<div><label for="yourfit-log">Residuals of</label><select id="yourfit-log">'
        '<option value="log">the logarithm of the loss</option>'
        '<option value="raw">the loss</option></select></div>'
        '<div><label for="yourfit-delta">Huber delta</label><input type="number" '
        f'id="yourfit-delta" min="0" step="any" value="{delta:g}"></div>'
        '<div><label for="yourfit-seed">Seed</label><input type="number" id="yourfit-seed" '
        'min="0" step="1" value="0"></div></fieldset>'
    )


def _progress_part() -> str:
    return (
        '<p><button type="button" class="yourfit-fit">Fit the law</button> '
        '<button type="button" class="yourfit-stop" hidden>Stop</button> '
        '<progress class="yourfit-progress" max="1" value="0" aria-label="Progress" hidden>'
        '</progress> <span class="yourfit-stage" role="status"></span></p>'
        '<p class="yourfit-refused" role="alert"></p>'
    )


def _result_part() -> str:
    runs = {key: title for key, title in RUNS.items() if key != "two_four"}
    costs = "".join(
        f'<label><input type="radio" name="cost" value="{name}"{" checked" * (name == "sparse")}> '
        f"{html.escape(COST_LABELS[name])}</label> "
        for name in COSTS
    )
    return (
        '<div class="yourfit-result" hidden><p class="yourfit-said"></p>'
        "<table><thead><tr><th scope='col'>coefficient</th><th scope='col'>estimate</th>"
        f"<th scope='col'>{LEVEL:.0%} of the refits</th><th scope='col'>verdict</th></tr></thead>"
        '<tbody class="yourfit-coefficients"></tbody></table><ul class="yourfit-warnings"></ul>'
        '<fieldset class="yourfit-grid"><legend>Best sparsity</legend>'
        '<div><label for="yourfit-size">at this many non-zero parameters</label>'
        '<input type="text" inputmode="decimal" id="yourfit-size"></div>'
        '<div><label for="yourfit-flops">and this training compute, FLOP</label>'
        '<input type="text" inputmode="decimal" id="yourfit-flops"></div>'
        f'<div><span>Training cost</span><span role="radiogroup" aria-label="Training cost">{costs}'
        f'</span></div></fieldset><p class="yourfit-best" role="status"></p>{run_table(runs)}'
        '<p><button type="button" class="yourfit-save">Save the law file</button></p>'
        '<p>The same fit on the command line<span class="yourfit-draws"></span>: '
        '<code class="yourfit-command"></code></p></div>'
    )


def residual_chart() -> alt.LayerChart:
    """Predicted over measured loss against size, coloured by sparsity. The script fills `runs`."""
    runs = alt.Chart(alt.NamedData("runs")).mark_point(filled=True, size=55, opacity=0.85)
    points = runs.encode(
        x=charts.log_x("nonzero_params", "Non-zero parameters"),
        y=alt.Y("residual:Q", title="Predicted above measured loss", axis=alt.Axis(format="+.1%")),
        color=alt.Color("sparsity:Q", title="Sparsity", scale=alt.Scale(domain=[0, 1])),
        tooltip=["sparsity:Q", "nonzero_params:Q", "data_seen:Q", "measured:Q", "predicted:Q"],
    )
    zero = alt.Chart(alt.Data(values=[{"y": 0}])).mark_rule(color=charts.GREY[0]).encode(y="y:Q")
    layered: alt.LayerChart = zero + points
    return layered.properties(datasets={"runs": []})


def optimum_chart() -> alt.LayerChart:
    """Best sparsity against training compute, with its interval. The script fills `optima`."""
    x = charts.log_x("flops", "Training compute (FLOP)")
    y = alt.Y(
        "S:Q",
        title="Best sparsity",
        axis=alt.Axis(format=".0%"),
        scale=alt.Scale(domain=[0, 1]),
    )
    optima = alt.Chart(alt.NamedData("optima"))
    shade = charts.band(alt.NamedData("optima"), x, "low", "high")
    runs = alt.Chart(alt.NamedData("reach")).mark_rule(strokeDash=[6, 4], color=charts.GREY[0])
    layered: alt.LayerChart = shade + optima.mark_line().encode(x=x, y=y) + runs.encode(x=x)
    return layered.properties(datasets={"optima": [], "reach": []})
