"""The part of sparsity's gain that is the embeddings' is found where it was put in."""

import numpy as np
import pytest

from simlib.claims.designs import SIZES, Scatter, drawn, row
from simlib.claims.truths import PILOT, TRUTHS
from simlib.errors import InputError
from simlib.fit.fittedlaw import FittedLaw
from simlib.pages import embeddings
from simlib.runs.table import RunTable

EXTRA = 0.02  # of log loss that dense embeddings take off, in the runs below


@pytest.fixture(scope="module")
def law_file():
    members = type(PILOT.law).from_vector(np.tile(PILOT.law.vector(), (5, 1)))
    return FittedLaw("truth", PILOT.law, members, {"status": "converged"})


@pytest.fixture(scope="module")
def runs():
    cells = [
        (S, N, D, seed)
        for S in (0.0, 0.5, 0.75)
        for N in SIZES[:2]
        for D in (4e6, 8e6)
        for seed in range(3)
    ]
    rng = np.random.default_rng(0)
    pruned = drawn([row(*c) for c in cells], TRUTHS["joint"], PILOT, Scatter(0.003, 0.0), rng)
    pruned = [
        r.model_copy(
            update={
                "embeddings": "pruned" if r.sparsity else "dense",
                "total_nonzero_params": r.nonzero_params + 5000,
            }
        )
        for r in pruned
    ]
    left = [
        r.model_copy(
            update={
                "embeddings": "dense",
                "run_id": r.run_id + "-dense",
                "total_nonzero_params": r.nonzero_params + 9000,
                "loss": r.loss * float(np.exp(-EXTRA)),
            }
        )
        for r in pruned
        if r.sparsity
    ]
    return RunTable([*pruned, *left])


def test_the_embeddings_part_is_the_one_that_was_put_in(runs, law_file):
    found = embeddings.splits(runs, law_file)
    assert [(s.pruned.nonzero_params, s.pruned.sparsity) for s in found] == [
        (N, S) for N in SIZES[:2] for S in (0.5, 0.75)
    ]
    for split in found:
        assert split.theirs.mean == pytest.approx(EXTRA)
        assert split.dense.loss.mean - split.pruned.loss.mean == pytest.approx(EXTRA)
        assert split.share == pytest.approx(EXTRA / split.dense.loss.mean)
        assert split.dense.worth.mean > split.pruned.worth.mean > 1
        assert (split.pruned.total, split.dense.total) == (
            split.pruned.nonzero_params + 5000,
            split.dense.nonzero_params + 9000,
        )
    worth = PILOT.law.multiplier(0.75)
    assert found[1].pruned.worth.mean == pytest.approx(worth, rel=0.1)


def test_the_page_says_the_least_and_the_most(runs, law_file):
    found = embeddings.splits(runs, law_file)
    least, most = sorted(found, key=lambda s: s.share)[:: len(found) - 1]
    said = embeddings.sentence(found)
    assert said.index(f"{100 * least.share:.0f}%") < said.index(f"{100 * most.share:.0f}%")
    assert len(embeddings.table(found).rows) == len(found)
    assert len(embeddings.chart(found).to_dict()["data"]["values"]) == 2 * len(found)


def test_a_table_of_one_kind_is_refused(runs, law_file):
    pruned = RunTable(r for r in runs if not r.sparsity or r.embeddings == "pruned")
    with pytest.raises(InputError, match="dense"):
        embeddings.splits(pruned, law_file)
