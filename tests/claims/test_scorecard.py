"""Verdicts follow the data: every claim is decided, and other data decide it otherwise."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from making import LAPTOP, law_file, scaled, table

from simlib.claims import CLAIMS, VERDICTS, Outcome, Sources, scorecard, show, totals
from simlib.cli.claims import command
from simlib.errors import InputError
from simlib.lawfile import LawFile
from simlib.predictions import FormInterval, PredictedRun, Predictions
from simlib.runs import RunTable
from simlib.simulate.calibration import Score

ROOT = Path(__file__).parents[2]


def decide(claim: str, sources: Sources) -> Outcome:
    return next(iter(scorecard(sources, [claim]).values()))


def answers(claim: str, sources: Sources, runs: str) -> list[str]:
    return [e.answer for e in decide(claim, sources).evidence if e.runs.startswith(runs)]


def with_law(name: str, law: LawFile) -> Sources:
    return Sources(laws={name: law})


@pytest.fixture(scope="module")
def shipped() -> dict:
    return scorecard()


def test_every_claim_of_the_paper_and_the_summary_is_there_once():
    ids = [claim.id for claim in CLAIMS]
    assert ids[:16] == [f"C{i}" for i in range(1, 17)]
    assert ids[16:25] == [f"S{i}" for i in range(1, 10)]
    assert len(set(ids)) == len(ids)
    assert all((ROOT / claim.page).is_file() for claim in CLAIMS)


def test_what_ships_decides_every_claim_one_way_or_another(shipped):
    assert len(shipped) == len(CLAIMS)
    assert sum(totals(shipped).values()) == len(CLAIMS)
    for outcome in shipped.values():
        assert outcome.evidence or outcome.missing
        for e in outcome.evidence:
            low, high = e.interval
            assert low <= high
            assert not np.isnan(e.value)


def test_without_any_file_nothing_is_testable_and_each_claim_says_why():
    for claim, outcome in scorecard(Sources(shipped=False)).items():
        assert outcome.verdict == "not testable at this scale", claim.id
        assert outcome.missing
        assert "shipped" in outcome.missing[0]


def test_an_unknown_claim_is_refused():
    with pytest.raises(InputError, match="no claim 'C99'; there are C1, C2"):
        scorecard(only=["C99"])


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
        ("B4", {"a_S": 2.0}, "supports", "contradicts"),
    ],
)
def test_another_law_of_the_released_runs_decides_otherwise(claim, change, before, after):
    same = with_law("vit-jft-refit", law_file(scaled("vit-jft")))
    other = with_law("vit-jft-refit", law_file(scaled("vit-jft", **change)))
    assert answers(claim, same, "ViT") == [before]
    assert answers(claim, other, "ViT") == [after]


def test_members_without_bounds_make_an_open_interval_and_no_warning(recwarn):
    """A slow data term puts the break-even budget of some members beyond any number."""
    law = law_file(scaled("vit-jft", b_D=0.1), spread=1.5)
    for claim in ("C7", "C8", "C9", "C10", "C11", "S1", "B4"):
        found = decide(claim, with_law("vit-jft-refit", law))
        low, high = found.evidence[0].interval
        assert low <= high
    assert not [w for w in recwarn if issubclass(w.category, RuntimeWarning)]


def test_a_bad_fit_and_one_that_did_not_converge_are_told_apart():
    def sources(**record):
        return with_law("t5-c4-refit", law_file(scaled("t5-c4"), **record))

    assert answers("C2", sources(log_rmse=0.01, runs=48), "T5") == ["supports"]
    assert answers("C2", sources(log_rmse=0.05, runs=48), "T5") == ["contradicts"]
    lost = decide("C2", sources(status="not converged"))
    assert any("did not converge" in said for said in lost.missing)


def test_the_published_fit_is_no_finding_where_it_is_the_optimum():
    objective = Sources().law("t5-c4").record["objective"]
    law = law_file(scaled("t5-c4"), objective=objective)
    assert decide("B1", Sources()).verdict == "reproduced"
    assert decide("B1", with_law("t5-c4-refit", law)).verdict == "not reproduced"


def test_narrow_intervals_are_found_by_a_score_that_says_so():
    def score(coverage):
        return Score(50, 50, 0.9, coverage, 0.0, 0.01, 1.0)

    good, bad = (Sources(scores={"vit-jft": score(c)}) for c in (0.9, 0.4))
    assert answers("B6", good, "ViT") == ["contradicts"]
    assert answers("B6", bad, "ViT") == ["supports"]


def ours(law_of_runs=LAPTOP) -> Sources:
    law = law_file(LAPTOP, "gpt-laptop")
    return Sources(laws={"gpt-laptop": law}, tables={"gpt-laptop": table(law_of_runs)})


def test_runs_alone_tell_growing_from_falling_gains():
    """Gains that fall with training are put into the losses; the law is left as it was."""
    growing = ours()

    def falling(run):
        if run.sparsity == 0:
            return run
        return run.model_copy(update={"loss": run.loss * (run.data_seen / 1e6) ** 0.1})

    altered = Sources(
        laws=growing.laws,
        tables={"gpt-laptop": RunTable(map(falling, growing.tables["gpt-laptop"]))},
    )
    for claim, before in (("C7", "supports"), ("S2", "contradicts"), ("S7", "supports")):
        after = "contradicts" if before == "supports" else "supports"
        assert answers(claim, growing, "gpt-laptop")[-1] == before
        assert answers(claim, altered, "gpt-laptop")[-1] == after
    assert "at equal size under the mask" in decide("S2", growing).evidence[-1].note


def test_a_law_that_chooses_badly_is_no_guide():
    good = ours()
    loves_sparsity = law_file(scaled("vit-jft", a_S=3.0, c_S=1.0, b_N=0.3, c=0.1), "gpt-laptop")
    bad = Sources(laws={"gpt-laptop": loves_sparsity}, tables=good.tables)
    assert answers("S8", good, "gpt-laptop") == ["supports"]
    assert answers("S8", bad, "gpt-laptop") == ["contradicts"]


def test_seeds_of_sparse_runs_that_scatter_are_seen():
    rng = np.random.default_rng(1)

    def noisy(run, share):
        scatter = share if run.sparsity > 0 else 0.004
        return run.model_copy(update={"loss": run.loss * np.exp(scatter * rng.normal())})

    alike, wild = (
        Sources(tables={"gpt-laptop": RunTable(noisy(r, s) for r in table(seed=0.0, repeats=3))})
        for s in (0.004, 0.04)
    )
    assert answers("S9", alike, "gpt-laptop") == ["supports"]
    assert answers("S9", wild, "gpt-laptop") == ["contradicts"]


def patterned(cost: dict[str, float]) -> Sources:
    """A table of n:m runs whose losses are those of unstructured ones times exp(cost)."""
    rng = np.random.default_rng(0)
    runs = list(table())
    for name, extra in cost.items():
        S = 0.5 if name in ("2:4", "4:8") else 0.75
        runs += [
            r.model_copy(update={
                "run_id": f"{name}-{r.run_id}", "pattern": name,
                "loss": r.loss * np.exp(extra + 0.001 * rng.normal()),
            })
            for r in runs if r.sparsity == S and r.pattern == "unstructured"
        ]  # fmt: skip
    law = law_file(LAPTOP, "gpt-laptop")
    return Sources(laws={"gpt-laptop": law}, tables={"nm-laptop": RunTable(runs)})


def test_patterns_are_close_where_they_are_and_lose_where_they_do():
    sources = patterned({"2:4": 0.002, "4:8": 0.03, "1:4": 0.03, "2:8": -0.02})
    by_pattern = {
        e.runs.split(", ")[1]: e.answer
        for e in decide("C12", sources).evidence
        if e.quantity.startswith("log loss")
    }
    assert by_pattern == {"2:4": "supports", "4:8": "contradicts", "1:4": "supports",
                          "2:8": "contradicts"}  # fmt: skip


def pruned(cost: float, **change: object) -> Sources:
    runs = [r for r in table() if r.sparsity == 0.75]
    runs += [
        r.model_copy(update={"run_id": f"a-{r.run_id}", **(change or {"pruner": "acdc"}),
                             "loss": r.loss * np.exp(cost + 1e-3 * (i % 3))})
        for i, r in enumerate(runs)
    ]  # fmt: skip
    return Sources(tables={"pruners-laptop": RunTable(runs)})


def test_a_better_pruner_contradicts_and_the_missing_ablation_is_named():
    worse, better = decide("C15", pruned(0.02)), decide("C15", pruned(-0.05))
    assert worse.verdict == "reproduced with caveat"
    assert better.verdict == "not reproduced"
    assert any("ignores the masks" in said for said in worse.missing)


@pytest.mark.parametrize(("cost", "answer"), [(0.02, "supports"), (-0.02, "contradicts")])
def test_what_ignoring_the_masks_costs_is_asked_at_each_length_of_training(cost, answer):
    found = decide("C15", pruned(cost, mask_optimizer=False)).evidence
    assert [e.answer for e in found] == [answer] * 5
    assert all("masks unknown to the optimizer, adamw" in e.runs for e in found)


@pytest.mark.parametrize(("shift", "verdict"), [(0.0, "supports"), (0.2, "contradicts")])
def test_forecasts_written_down_before_are_held_against_the_runs(shift, verdict):
    runs = RunTable(r for r in table() if r.data_seen == 512_000 and r.seed == 0)
    said = tuple(
        PredictedRun(r.run_id, r.sparsity, r.nonzero_params, r.data_seen, {
            "joint": FormInterval(r.loss * (1 + shift), r.loss * (0.95 + shift),
                                  r.loss * (1.05 + shift))})
        for r in runs
    )  # fmt: skip
    predictions = Predictions("holdout-laptop", {}, 0.9, {}, said)
    sources = Sources(tables={"holdout-laptop": runs}, predictions={"holdout-laptop": predictions})
    assert answers("C6", sources, "holdout-laptop") == [verdict]


def test_the_command_prints_every_claim_and_valid_json():
    said = CliRunner().invoke(command, ["--only", "C2", "--only", "B1"])
    assert said.exit_code == 0
    assert "C2" in said.output
    assert "log-RMSE" in said.output
    assert "B3" not in said.output
    content = json.loads(CliRunner().invoke(command, ["--json"]).output)
    assert [c["id"] for c in content] == [c.id for c in CLAIMS]
    assert {c["verdict"] for c in content} <= set(VERDICTS)


def test_tables_hold_one_row_a_claim_and_links_to_pages_that_exist(shipped):
    rows = show.claim_table(shipped).rows
    assert [row[0].split("]")[0] for row in rows] == [f"[{c.id}" for c in CLAIMS]
    assert [row[-1] for row in rows] == [o.verdict for o in shipped.values()]
    html = show.rule_table(CLAIMS)._repr_mimebundle_()["text/html"]
    assert html.count('<a href="../notebooks/') + html.count('<a href="../book/') == len(CLAIMS)
    assert len(show.evidence_table(shipped).rows) == sum(len(o.evidence) for o in shipped.values())
    counted = show.totals_table(shipped).rows
    assert sum(int(n) for row in counted for n in row[1:]) == len(CLAIMS)
