"""What is said of recipes follows from runs whose differences are known."""

import pytest

from simlib.errors import InputError
from simlib.pages.recipes import (
    Attempt,
    changes_table,
    costlier_above,
    excess,
    joined,
    learning_rates,
    missed_rates,
    missed_table,
    rate_table,
    time_table,
)
from simlib.runs.cells import Spread
from simlib.runs.config import RunConfig
from simlib.runs.table import RunRecord, RunTable

SPREAD = Spread(0.01, (0.008, 0.015), 10, 5, 5)


def attempt(loss: float, **fields) -> Attempt:
    config = RunConfig(**{"nonzero_params": 13824, "steps": 400, **fields})
    record = RunRecord(
        run_id=config.run_id,
        nonzero_params=13824,
        sparsity=config.sparsity,
        data_seen=1000,
        loss=loss,
    )
    return Attempt(config, record)


def curve(losses: dict[float, float], **fields) -> list[Attempt]:
    return [attempt(loss, lr=lr, **fields) for lr, loss in losses.items()]


CURVES = [
    *curve({0.002: 2.2, 0.004: 2.0, 0.008: 2.1}),
    *curve({0.002: 1.0, 0.008: 2.0}, qk_norm=False),
    attempt(9.0, sparsity=0.75, lr=0.004),
]


def test_excess_is_measured_against_the_best_rate_of_runs_alike() -> None:
    rows = excess(CURVES)
    found = {(r["norms"], round(r["ratio"], 2)): round(r["excess"], 3) for r in rows}
    assert found == {
        ("with norms", 0.5): 0.1,
        ("with norms", 1.0): 0.0,
        ("with norms", 2.0): 0.05,
        ("without norms", 1.0): 0.0,
        ("without norms", 4.0): 1.0,
    }
    table = missed_table(rows)
    assert table.rows[0] == ("GPT", "with norms", "10.0% (1)", "0.0% (1)", "5.0% (1)", "–")
    assert costlier_above(rows) == "0 of 1 row"
    assert "100% above" in missed_rates(rows).to_dict()["description"]


@pytest.mark.parametrize(
    ("loss", "said"), [(2.2, "worse"), (1.8, "better"), (2.01, "within the noise")]
)
def test_a_change_is_judged_against_its_twin_and_the_noise(loss: float, said: str) -> None:
    runs = [attempt(2.0), attempt(loss, batch=4), attempt(5.0, sparsity=0.75)]
    rows = changes_table(runs, ("batch", "lr_schedule"), SPREAD).rows
    assert [(row[0], row[3]) for row in rows] == [("batch: 4 in place of 8", said)]


def test_runs_find_their_configuration_or_are_refused() -> None:
    known = attempt(2.0)
    assert joined(RunTable([known.run]), [known.config]) == [known]
    with pytest.raises(InputError, match="not of this grid"):
        joined(RunTable([attempt(2.0, seed=1).run]), [known.config])


def test_time_is_compared_at_equal_size_under_the_mask() -> None:
    dense = RunRecord(
        nonzero_params=4000,
        dense_params=4000,
        sparsity=0,
        data_seen=10,
        steps=10,
        seconds=0.2,
        loss=2.0,
    )
    sparse = dense.model_copy(
        update={"nonzero_params": 1000, "sparsity": 0.75, "seconds": 0.3, "flops": 6 * 2000.0 * 10}
    )
    alone = sparse.model_copy(update={"dense_params": 9000})
    (row,) = time_table(RunTable([dense, sparse, alone])).rows
    assert row == ("4,000", "1, 1", "20.0", "30.0", "150%", "50%")


def rate_run(lr: float, loss: float, size: int = 13_824, qk_norm: bool = True) -> Attempt:
    config = RunConfig(nonzero_params=size, data_seen=1_000_000, lr=lr, qk_norm=qk_norm)
    run = RunRecord(
        run_id=config.run_id, nonzero_params=size, sparsity=0.0, data_seen=1_000_000, loss=loss
    )
    return Attempt(config, run)


def test_the_best_rate_its_edge_and_the_cliff_above_it():
    curve = [rate_run(0.01, 2.2), rate_run(0.0025, 2.1), rate_run(0.005, 2.0), rate_run(0.02, 3.3)]
    edge = [rate_run(0.0025, 1.9, 55_296), rate_run(0.005, 1.95, 55_296)]
    rows = rate_table([*curve, *edge, rate_run(0.01, 9.0, qk_norm=False)]).rows
    assert len(rows) == 2  # a lone run is no curve
    assert rows[0][4:] == ("0.00500", "2.000", "+10.0%", "+65.0%", "50.0%")
    assert "(edge)" in rows[1][4]
    assert "0.0025" in str(learning_rates([*curve, *edge]).to_dict())
