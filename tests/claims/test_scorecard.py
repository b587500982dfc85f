"""Answers follow the data: every claim is asked, and other data answer it otherwise."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from making import law_file, scaled, table

from simlib.analysis.calibration import Score
from simlib.analysis.predictions import FittedForm, FormPrediction, PredictedRun, Predictions
from simlib.claims import CLAIMS, RULES, SOURCES, VERDICTS, Outcome, Sources, scorecard
from simlib.claims.estimates import PUBLISHED_ERROR
from simlib.claims.measured import CATALOG, load_measurements, shipped_evidence
from simlib.claims.sources import LANGUAGE, MEASURED, OURS, TOGETHER, content_hash, ships
from simlib.cli.claims import command
from simlib.datasets import load_law
from simlib.errors import InputError
from simlib.fit.fittedlaw import FittedLaw
from simlib.pages import claims
from simlib.runs.table import RunTable

ROOT = Path(__file__).parents[2]


def decide(claim: str, sources: Sources) -> Outcome:
    return next(iter(scorecard(sources, [claim]).values()))


def answers(claim: str, sources: Sources, runs: str) -> list[str]:
    return [e.answer for e in decide(claim, sources).evidence if e.runs.startswith(runs)]


def with_law(name: str, law: FittedLaw) -> Sources:
    return Sources(laws={name: law}, shipped=False)


@pytest.fixture(scope="module")
def shipped() -> dict:
    return scorecard()


def test_every_claim_of_the_paper_and_the_summary_is_there_once():
    ids = [claim.id for claim in CLAIMS]
    assert ids[:16] == [f"C{i}" for i in range(1, 17)]
    assert ids[16:25] == [f"S{i}" for i in range(1, 10)]
    assert len(set(ids)) == len(ids)
    assert len({rule.id for rule in RULES}) == len(RULES)
    assert all((ROOT / claim.page).is_file() for claim in CLAIMS)
    assert all(claim.rules for claim in CLAIMS)


def test_what_ships_answers_every_claim_one_way_or_another(shipped):
    assert len(shipped) == len(CLAIMS)
    for outcome in shipped.values():
        assert outcome.evidence or outcome.missing
        assert {outcome.verdict(source) for source in SOURCES} <= {*VERDICTS, None}
        for e in outcome.evidence:
            low, high = e.interval
            assert low <= high
            assert not np.isnan(e.value)


def test_without_any_file_nothing_is_decided_and_each_claim_says_why():
    for claim, outcome in scorecard(Sources(shipped=False)).items():
        assert {outcome.verdict(source) for source in SOURCES} <= {"undecided", None}, claim.id
        assert outcome.missing
        assert all("shipped" in said.why for said in outcome.missing)


def test_an_unknown_claim_is_refused():
    with pytest.raises(InputError, match="no claim 'C99'; there are C1, C2"):
        scorecard(only=["C99"])


def test_the_error_of_the_published_fits_is_what_their_law_files_say():
    errors = [float(load_law(name).log_rmse) for name in ("vit-jft", "t5-c4")]
    assert pytest.approx(max(errors), abs=5e-5) == PUBLISHED_ERROR


@pytest.mark.parametrize(
    ("claim", "change", "before", "after"),
    [
        # worth next to nothing: a_S far below c_S
        ("C11", {"a_S": 20.0}, "supports", "contradicts"),
        ("C4", {"c_S": 5.0, "a_S": 750.0}, "supports", "contradicts"),
        ("C9", {"a_S": 5.0}, "supports", "contradicts"),
        ("S1", {"a_S": 5.0}, "supports", "contradicts"),
        ("C7", {"a_S": 5.0}, "supports", "contradicts"),
        ("C10", {"a_S": 5.0}, "supports", "contradicts"),
        ("C14", {"a_S": 700.0, "c_S": 60.0, "b_S": 3.0}, "supports", "contradicts"),
        ("B4", {"a_S": 2.0}, "supports", "contradicts"),
    ],
)
def test_another_law_of_the_released_runs_answers_otherwise(claim, change, before, after):
    same = with_law("vit-jft-refit", law_file(scaled("vit-jft")))
    other = with_law("vit-jft-refit", law_file(scaled("vit-jft", **change)))
    assert answers(claim, same, "ViT") == [before]
    assert answers(claim, other, "ViT") == [after]


def test_members_without_bounds_make_an_open_interval_and_no_warning(recwarn):
    """A slow data term puts the break-even budget of some members beyond any number."""
    law = law_file(scaled("vit-jft", b_D=0.1), spread=0.5)
    for claim in ("C7", "C9", "C10", "C11", "S1", "B4"):
        found = decide(claim, with_law("vit-jft-refit", law))
        low, high = found.evidence[0].interval
        assert low <= high
    assert not [w for w in recwarn if issubclass(w.category, RuntimeWarning)]


@pytest.mark.parametrize(
    ("record", "why"),
    [
        ({"status": "not converged"}, "not converged"),
        ({"status": "at bound"}, "at bound"),
        ({"converged_members": 10}, "only 10 of 200 refits"),
    ],
)
def test_a_law_that_was_not_found_decides_nothing(record, why):
    sources = with_law("t5-c4-refit", law_file(scaled("t5-c4"), **record))
    for claim in ("C4", "C7", "C11", "S1"):
        found = decide(claim, sources)
        assert not [e for e in found.evidence if e.runs.startswith("T5")]
        assert any(why in said.why for said in found.missing), claim


def test_the_published_fit_is_no_finding_where_it_is_the_optimum():
    objective = Sources().law("t5-c4").value
    law = law_file(scaled("t5-c4"), value=objective)
    assert decide("B1", Sources()).verdict("released") == "holds"
    same = Sources(laws={"t5-c4-refit": law})
    assert decide("B1", same).verdict("released") == "contradicted"


def test_misses_that_errors_in_common_explain_are_no_finding():
    def score(coverage, allowed):
        return Score(50, 50, 0.9, coverage, 0.0, 0.01, 1.0, allowed=allowed)

    def answer(coverage, allowed):
        sources = Sources(scores={"vit-jft": score(coverage, allowed)}, shipped=False)
        return answers("B6", sources, "ViT")

    assert answer(0.9, 8) == ["contradicts"]
    assert answer(0.4, 8) == ["supports"]
    assert answer(0.4, 35) == ["contradicts"]
    assert answer(0.4, None) == []


def ours(runs: RunTable) -> Sources:
    return Sources(tables={LANGUAGE.table: runs}, shipped=False, resamples=60)


@pytest.fixture(scope="module")
def growing() -> Sources:
    return ours(table())


def test_runs_alone_tell_growing_from_falling_gains(growing):
    """Gains that fall with training are put into the losses."""

    def falling(run):
        if run.sparsity == 0:
            return run
        return run.model_copy(update={"loss": run.loss * (run.data_seen / 1e6) ** 0.1})

    altered = ours(RunTable(map(falling, growing.tables[LANGUAGE.table])))
    for claim, before in (("C7", "supports"), ("S2", "contradicts"), ("S7", "supports")):
        after = "contradicts" if before == "supports" else "supports"
        assert answers(claim, growing, LANGUAGE.label) == [before] * 2
        assert answers(claim, altered, LANGUAGE.label) == [after] * 2
    assert "at equal size under the mask" in decide("S2", growing).evidence[-1].note


def test_both_scales_of_a_gain_are_printed(growing):
    for claim in ("C7", "S2"):
        quantities = [e.quantity for e in decide(claim, growing).evidence]
        assert any("nats" in q for q in quantities)
        assert any("of the loss" in q for q in quantities)


def test_one_choice_everywhere_is_no_guidance(growing):
    """Sparsity that never pays: the law says dense everywhere, as a habit would."""

    def dense_best(run):
        worse = run.loss * (1 + 0.5 * run.sparsity)
        return run.model_copy(update={"loss": worse})

    found = decide("S8", ours(RunTable(map(dense_best, growing.tables[LANGUAGE.table]))))
    assert not found.evidence
    assert any("as a habit would" in said.why for said in found.missing)


def test_seeds_of_sparse_runs_that_scatter_are_seen_in_all_tables_together():
    rng = np.random.default_rng(1)

    def noisy(run, share, scale):
        """Runs of the second table scatter three times as widely, dense and sparse alike."""
        scatter = scale * (share if run.sparsity > 0 else 0.004)
        change = {"loss": run.loss * np.exp(scatter * rng.normal()), "dataset": f"data{scale}"}
        return run.model_copy(update={**change, "run_id": f"{run.run_id}-{scale}"})

    def together(share):
        tables = {
            name: RunTable(noisy(r, share, scale) for r in table(seed=0.0, repeats=3))
            for name, scale in (("one", 1), ("other", 3))
        }
        return Sources(tables=tables, shipped=False)

    assert answers("S9", together(0.004), TOGETHER.label) == ["supports"]
    assert answers("S9", together(0.02), TOGETHER.label) == ["contradicts"]
    assert answers("S9", together(0.0008), TOGETHER.label) == ["contradicts"]
    assert answers("S9", Sources(shipped=False), TOGETHER.label) == []


def test_a_run_of_two_tables_counts_once_and_released_runs_are_not_ours():
    runs = table()
    sources = Sources(tables={"a": runs, "b": runs, "vit-jft": table(repeats=1)}, shipped=False)
    assert len(sources.runs(TOGETHER.table)) == len(runs)


def patterned(cost: dict[str, float]) -> Sources:
    """A table of n:m runs whose losses are those of unstructured ones times exp(cost)."""
    rng = np.random.default_rng(0)
    runs = list(table())
    for name, extra in cost.items():
        S = 0.5 if name in ("2:4", "4:8") else 0.75
        runs += [
            r.model_copy(
                update={
                    "run_id": f"{name}-{r.run_id}",
                    "pattern": name,
                    "loss": r.loss * np.exp(extra + 0.001 * rng.normal()),
                }
            )
            for r in runs
            if r.sparsity == S and r.pattern == "unstructured"
        ]
    return Sources(
        tables={LANGUAGE.table: table(), "nm-laptop": RunTable(runs)}, shipped=False, resamples=60
    )


def test_patterns_are_close_where_they_are_and_lose_where_they_do():
    sources = patterned({"2:4": 0.002, "4:8": 0.03, "1:4": 0.03, "2:8": -0.02})
    by_pattern = {
        e.part: e.answer for e in decide("C12", sources).evidence if e.rule != "C12.drift"
    }
    assert by_pattern == {
        "2:4": "supports",
        "4:8": "contradicts",
        "1:4": "supports",
        "2:8": "contradicts",
    }


def pruned(cost: float, **change: object) -> Sources:
    runs = [r for r in table() if r.sparsity == 0.75]
    runs += [
        r.model_copy(
            update={
                "run_id": f"a-{r.run_id}",
                **(change or {"pruner": "acdc"}),
                "loss": r.loss * np.exp(cost + 1e-3 * (i % 3)),
            }
        )
        for i, r in enumerate(runs)
    ]
    return Sources(tables={"pruners-laptop": RunTable(runs)}, shipped=False)


def test_a_better_pruner_contradicts_and_the_missing_ablation_is_named():
    worse, better = (answers("C15", pruned(cost), "pruners") for cost in (0.02, -0.05))
    assert set(worse) == {"supports"}
    assert set(better) == {"contradicts"}
    missing = decide("C15", pruned(0.02)).missing
    assert any("no run of the kind that is asked about" in said.why for said in missing)


@pytest.mark.parametrize(
    ("cost", "answer"), [(0.02, "supports"), (-0.02, "contradicts"), (-0.0016, "undecided")]
)
def test_what_ignoring_the_masks_costs_is_asked_at_each_length_of_training(cost, answer):
    found = decide("C15", pruned(cost, mask_optimizer=False)).evidence
    assert [e.answer for e in found] == [answer] * 5
    assert all("masks unknown to the optimizer, AdamW" in e.part for e in found)


@pytest.mark.parametrize(("shift", "verdict"), [(0.0, "supports"), (0.2, "contradicts")])
def test_forecasts_written_down_before_are_held_against_the_runs(shift, verdict):
    runs = RunTable(r for r in table() if r.data_seen == 512_000 and r.seed == 0)
    said = tuple(
        PredictedRun(
            r.run_id,
            r.sparsity,
            r.nonzero_params,
            r.data_seen,
            {
                "joint": FormPrediction(
                    r.loss * (1 + shift), r.loss * (0.95 + shift), r.loss * (1.05 + shift)
                )
            },
        )
        for r in runs
    )
    predictions = Predictions("holdout-laptop", {}, 0.9, {"joint": FittedForm(9, 0.01, {})}, said)
    sources = Sources(tables={"holdout-laptop": runs}, predictions={"holdout-laptop": predictions})
    assert answers("C6", sources, "holdout-laptop") == [verdict] * 2


def test_a_claim_whose_runs_are_still_to_be_trained_is_undecided_and_says_so(monkeypatch):
    for module in ("simlib.claims", "simlib.claims.measured"):
        monkeypatch.setattr(f"{module}.ships", lambda runs: False)
    for claim, outcome in scorecard(only=["S4", "S9"]).items():
        assert outcome.verdict("own") == "undecided", claim.id
        assert "has shipped yet" in outcome.missing[0].why


def test_our_tables_are_measured_as_they_ship():
    """What was measured belongs to the tables and rules as they are."""
    for runs in MEASURED:
        if ships(runs):
            known = load_measurements(runs.table)
            assert known.made["table_sha256"] == content_hash(runs), runs.table
            asked = {rule.id for rule in RULES if runs in rule.sets}
            assert {e.rule for e in known.evidence} | set(known.missing) == asked


def test_what_was_measured_of_another_table_is_not_used(monkeypatch):
    rule = next(rule for rule in RULES if shipped_evidence(rule, LANGUAGE).evidence)
    known = load_measurements(LANGUAGE.table)
    old = replace(known, made={**known.made, "table_sha256": "another"})
    monkeypatch.setattr("simlib.claims.measured.load_measurements", lambda name: old)
    found = shipped_evidence(rule, LANGUAGE)
    assert not found.evidence
    assert "has changed since it was measured" in found.missing[0].why


def test_evidence_is_the_same_when_it_is_read_again(tmp_path):
    known = load_measurements("pretrained-laptop")
    CATALOG.write(tmp_path / "again.json", known)
    assert CATALOG.load(str(tmp_path / "again.json")) == known


def test_the_command_prints_every_claim_and_valid_json():
    said = CliRunner().invoke(command, ["--only", "C2", "--only", "B1"])
    assert said.exit_code == 0
    assert "C2" in said.output
    assert "log-RMSE" in said.output
    assert "B3" not in said.output
    content = json.loads(CliRunner().invoke(command, ["--json"]).output)
    assert [c["id"] for c in content] == [c.id for c in CLAIMS]
    assert {v for c in content for v in c["verdicts"].values()} <= {*VERDICTS, None}


@pytest.mark.parametrize("option", ["--power", "--measure"])
def test_a_table_that_no_rule_asks_is_refused(option):
    said = CliRunner().invoke(command, [option, "no-such-table"])
    assert isinstance(said.exception, InputError)
    assert "there are" in str(said.exception)


def test_tables_hold_one_row_a_claim_and_links_to_pages_that_exist(shipped):
    rows = claims.claim_table(shipped).rows
    assert [row[0].split("]")[0] for row in rows] == [f"[{c.id}" for c in CLAIMS]
    for row, outcome in zip(rows, shipped.values(), strict=True):
        said = [outcome.verdict(source) or "not asked" for source in SOURCES]
        assert [cell.split("\n")[0] for cell in row[3:]] == said
    html = claims.rule_table(CLAIMS)._repr_mimebundle_()["text/html"]
    assert html.count('<a href="../notebooks/') + html.count('<a href="../book/') == len(RULES)
    assert len(claims.evidence_table(shipped).rows) == sum(
        len(o.evidence) for o in shipped.values()
    )
    for source in SOURCES:
        asked = [o for o in shipped.values() if o.verdict(source)]
        assert sum(claims.counts(shipped, source).values()) == len(asked)
    assert OURS[0] is LANGUAGE
