"""The spread over seeds, sparse over dense: what is pooled, and how sure it is."""

import numpy as np
import pytest

from simlib.analysis.stability import repeated, spread_ratio
from simlib.errors import InputError
from simlib.runs.table import RunRecord, RunTable


def run(S: float, N: int, D: int, seed: int, loss: float, **more: object) -> RunRecord:
    return RunRecord(
        **{"family": "gpt", "dataset": "python", **more},
        nonzero_params=N,
        dense_params=round(N / (1 - S)),
        sparsity=S,
        data_seen=D,
        seed=seed,
        loss=loss,
    )


def drawn(ratio: float, rng: np.random.Generator, prefix: float = 0.0, seeds: int = 3) -> RunTable:
    """Runs whose seeds scatter by task and place, sparse ones `ratio` times as widely.

    `prefix` of the variance is common to the runs of a dense shape and seed.
    """
    common: dict[tuple[str, int, int], float] = {}
    rows = []
    for family, scale in (("gpt", 0.003), ("vit", 0.03)):
        for N in (4096, 8192, 16384, 32768):
            for S in (0.0, 0.5, 0.75):
                for D in (10**6, 4 * 10**6):
                    for seed in range(seeds):
                        key = family, round(N / (1 - S)), seed
                        shared = common.setdefault(key, float(rng.standard_normal()))
                        noise = np.sqrt(prefix) * shared
                        noise += np.sqrt(1 - prefix) * rng.standard_normal()
                        wide = scale * (ratio if S else 1.0) * (1e6 / D) ** 0.5
                        rows.append(run(S, N, D, seed, float(np.exp(wide * noise)), family=family))
    return RunTable(rows)


@pytest.mark.parametrize("ratio", [0.3, 1.0, 4.0])
def test_the_ratio_is_found_although_places_scatter_differently(ratio):
    found = spread_ratio(drawn(ratio, np.random.default_rng(0)))
    assert found.value == pytest.approx(ratio, rel=0.3)
    assert found.interval[0] < ratio < found.interval[1]
    assert (found.dense, found.sparse, found.places, found.unmatched) == (16, 32, 16, 0)


def test_intervals_cover_at_their_rate_although_runs_share_prefixes():
    rng = np.random.default_rng(2)
    found = [spread_ratio(drawn(1.0, rng, prefix=0.5)).interval for _ in range(60)]
    covered = np.mean([low <= 1 <= high for low, high in found])
    assert 0.8 <= covered <= 0.99


def test_cells_without_a_partner_change_nothing():
    runs = drawn(2.0, np.random.default_rng(1))
    alone = [run(0.875, 10**6, 10**6, seed, 1.0 + 0.5 * seed) for seed in range(4)]
    one, other = spread_ratio(runs), spread_ratio(RunTable([*runs, *alone]))
    assert other._replace(unmatched=0) == one
    assert other.unmatched == 1


def test_a_cell_with_a_seed_twice_hides_a_setting_and_is_left_out():
    twice = [run(0.5, 4096, 10**6, 0, loss) for loss in (1.0, 2.0)]
    assert repeated(RunTable(twice)) == []
    assert len(repeated(RunTable([run(0.5, 4096, 10**6, s, 1.0) for s in (0, 1)]))) == 1


def test_too_few_repeats_are_refused():
    with pytest.raises(InputError, match="two seeds"):
        spread_ratio(drawn(1.0, np.random.default_rng(0), seeds=1))
    sparse = RunTable(r for r in drawn(1.0, np.random.default_rng(0)) if r.sparsity)
    with pytest.raises(InputError, match="both have two seeds"):
        spread_ratio(sparse)
    few = RunTable(
        r
        for r in drawn(1.0, np.random.default_rng(0))
        if r.nonzero_params == 4096 and r.sparsity < 0.6 and r.family == "gpt"
    )
    with pytest.raises(InputError, match="too few for an interval"):
        spread_ratio(few)
