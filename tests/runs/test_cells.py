"""What is one setting: sizes and sparsities that count as one, and how widely its seeds scatter."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simlib.errors import InputError
from simlib.runs import cells
from simlib.runs.table import RunRecord, RunTable

SIZES = np.array([6144.0, 12288.0, 24576.0])
SPARSITIES = np.array([0.0, 0.5, 0.75, 0.9375])


def run(loss: float, **more) -> RunRecord:
    fields = {"nonzero_params": 6144, "sparsity": 0.5, "data_seen": 10_000, "seed": 0}
    return RunRecord(**{**fields, **more, "loss": loss})


@given(st.lists(st.floats(0.97, 1.03), min_size=12, max_size=12), st.floats(1e-3, 1e6))
def test_sizes_built_within_three_percent_are_one_in_any_unit_and_order(jitter, unit):
    asked = np.tile(SIZES, 4)
    built = asked * jitter
    expected = np.tile([0, 1, 2], 4)
    assert cells.size_index(built * unit).tolist() == expected.tolist()
    assert cells.size_index(built[::-1]).tolist() == expected[::-1].tolist()
    nominal = cells.nominal_sizes(built)
    assert all(len(set(nominal[expected == i])) == 1 for i in range(3))
    assert cells.same_size(nominal, asked).all()


def test_sizes_that_lie_densely_are_no_one_size():
    N = np.geomspace(1e6, 1e8, 400)
    bins = cells.size_index(N)
    assert bins.max() > 40
    widths = [np.ptp(np.log(N[bins == i])) for i in range(bins.max() + 1)]
    assert max(widths) <= np.log(1.1)


def test_sparsities_are_told_apart_by_density_and_dense_is_none_of_them():
    S = np.concatenate([SPARSITIES, SPARSITIES * (1 - 1e-4)])
    assert cells.sparsity_index(S).tolist() == [0, 1, 2, 3] * 2
    assert cells.nominal_sparsities(S) == pytest.approx([*SPARSITIES, *SPARSITIES], abs=6e-4)
    assert cells.same_sparsity(0.75, 0.7505)
    assert not cells.same_sparsity(0.99, 0.9905)
    assert not cells.same_sparsity(0.0, 0.004)
    assert cells.sparsity_index([0.0, 0.004]).tolist() == [0, 1]


def test_a_cell_holds_the_seeds_of_one_size_sparsity_and_amount_of_data():
    table = RunTable(
        [
            run(2.0),
            run(8.0, seed=1, nonzero_params=6160, sparsity=0.4999),
            run(3.0, data_seen=20_000),
            run(5.0, sparsity=0.0),
            run(float("nan"), seed=2, diverged=True),
        ]
    )
    found = cells.cells(table)
    assert found.runs.tolist() == [1, 2, 1]
    assert found.sparsity.tolist() == [0.0, 0.5, 0.5]
    assert found.data_seen.tolist() == [10_000, 10_000, 20_000]
    assert found.loss == pytest.approx([5.0, 4.0, 3.0])
    assert found.nonzero_params == pytest.approx([6144, 6152, 6144])
    assert len(set(found.size)) == 1
    with pytest.raises(InputError, match="no finished runs"):
        cells.cells(RunTable([]))


def test_columns_keep_their_kind_and_read_like_a_run_table():
    table = RunTable([run(2.0), run(3.0, sparsity=0.0)])
    dense = cells.Columns.of(table).where(table.sparsity == 0)
    assert (len(dense), dense.L.tolist(), dense.loss.tolist()) == (1, [3.0], [3.0])
    again = cells.Columns.of(dense)
    assert again.N.tolist() == dense.nonzero_params.tolist()
    assert dense.replace_loss(np.array([9.0])).L.tolist() == [9.0]


@pytest.mark.parametrize(
    "change", [{"lr": 0.1}, {"pruner": "random"}, {"prune_end": 0.5}, {"weight_bits": 4}], ids=str
)
def test_only_runs_that_differ_in_their_seed_alone_show_its_spread(change):
    pair = RunTable([run(2.0), run(2.2, seed=1)])
    found = cells.seed_spread(pair)
    assert found.deviation == pytest.approx(np.log(1.1) / np.sqrt(2))
    with pytest.raises(InputError, match="two seeds"):
        cells.seed_spread(RunTable([run(2.0), run(2.2, seed=1, **change)]))


def test_seeds_that_start_from_models_of_their_own_seeds_are_one_setting():
    starts = {"pruner": "from_checkpoint", "dense_params": 24576}
    pair = RunTable([run(2.0, start="a", **starts), run(2.2, seed=1, start="b", **starts)])
    assert cells.seed_spread(pair).degrees == 1
    mixed = RunTable([run(2.0, start="a", **starts), run(2.2, seed=1, **starts)])
    with pytest.raises(InputError, match="two seeds"):
        cells.seed_spread(mixed)


def test_pooling_weighs_groups_by_what_they_have_beyond_their_first():
    values, group = np.array([1.0, 3.0, 10.0, 10.0, 10.0, 7.0]), np.array([0, 0, 1, 1, 1, 2])
    found = cells.pooled(values, group)
    assert (found.degrees, found.groups) == (3, 2)
    assert found.deviation == pytest.approx(np.sqrt(2 / 3))
    shifted = cells.pooled(values + np.array([5.0, 2.0, 9.0])[group], group)
    assert shifted.deviation == pytest.approx(found.deviation)
    assert np.isnan(cells.pooled(values[:1], group[:1]).deviation)
