"""Who won, and when nobody may be called the winner."""

import math

import pytest

from simlib.analysis.comparison import compare
from simlib.errors import InputError
from simlib.runs.table import RunRecord, RunTable


def table(dense: list[float], sparse: list[float]) -> RunTable:
    common = {"family": "gpt", "nonzero_params": 1000, "data_seen": 1000}
    return RunTable(
        RunRecord(**common, sparsity=s, seed=seed, loss=loss)
        for s, losses in ((0.0, dense), (0.75, sparse))
        for seed, loss in enumerate(losses)
    )


def test_the_lower_loss_wins_when_seeds_agree() -> None:
    assert compare(table([2.2, 2.3], [2.0, 2.1])).winner == "sparse"
    assert compare(table([2.0, 2.1], [2.2, 2.3])).winner == "dense"
    assert compare(table([2.2, 2.3], [2.0, 2.1])).mean == pytest.approx(0.2)


def test_noise_wins_nothing() -> None:
    assert compare(table([2.2, 2.0], [2.0, 2.1])).winner == "neither"
    assert compare(table([2.2, 2.6], [2.19, 2.1])).winner == "neither"


def test_one_seed_has_no_standard_error() -> None:
    one = compare(table([2.2], [2.0]))
    assert math.isnan(one.stderr)
    assert one.winner == "sparse"


def test_what_is_not_alike_is_not_compared() -> None:
    with pytest.raises(InputError, match="for every seed"):
        compare(table([2.2, 2.3], [2.0]))
    runs = table([2.2], [2.0])
    other = runs.records[1].model_copy(update={"data_seen": 2000})
    with pytest.raises(InputError, match="equal data"):
        compare(RunTable([runs.records[0], other]))
