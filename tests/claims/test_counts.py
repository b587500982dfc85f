"""What a weight is worth, by what is counted, on runs whose law is known."""

import numpy as np
import pytest

from simlib.claims.counts import COUNTS, pruned_embeddings, recount, smallest, worth
from simlib.claims.designs import OURS, Scatter, drawn, language_rows
from simlib.claims.truths import PILOT, TRUTHS
from simlib.errors import InputError
from simlib.runs.table import RunTable


def virtual(truth: str, scatter: Scatter, seed: int = 0) -> RunTable:
    return drawn(language_rows(), TRUTHS[truth], PILOT, scatter, np.random.default_rng(seed))


def headed(runs: RunTable, embeddings: str) -> RunTable:
    """Output layers that grow with the root of the size under the mask, or are pruned by it."""

    def with_head(run):
        kept = np.sqrt(1 - run.sparsity) if embeddings == "pruned" else 1.0
        head = round(256 * (run.dense_params / 24) ** 0.5 * kept)
        total = run.nonzero_params + 2 * head
        return run.model_copy(
            update={
                "head_nonzero_params": head,
                "embeddings": embeddings,
                "total_nonzero_params": total,
            }
        )

    return RunTable(map(with_head, runs))


def test_the_worth_by_bodies_is_that_of_the_law():
    found = worth(virtual("joint", Scatter(1e-6, 0.0)), "body")
    assert found.mean == pytest.approx(float(PILOT.law.multiplier(0.75)), rel=0.01)
    assert worth(virtual("no worth", OURS), "body").mean == pytest.approx(1.0, abs=0.05)


@pytest.mark.slow
def test_its_interval_holds_the_truth_about_nine_times_in_ten():
    true = float(PILOT.law.multiplier(0.75))
    found = [worth(virtual("joint", OURS, seed), "body").interval for seed in range(60)]
    assert 0.75 < np.mean([low < true < high for low, high in found]) <= 1.0


def test_dense_output_layers_make_sparsity_look_better_than_it_is():
    runs = virtual("joint", Scatter(1e-6, 0.0))
    by = {
        kind: [worth(headed(runs, kind), count).mean for count in COUNTS]
        for kind in ("dense", "pruned")
    }
    assert by["dense"][0] == by["pruned"][0]  # the body is the same
    drop = {kind: worths[0] / worths[-1] for kind, worths in by.items()}
    assert drop["dense"] > 1.4 > 1.2 > drop["pruned"] > 1
    for worths in by.values():
        assert worths[0] > worths[1] > worths[2]


def test_a_count_that_the_table_lacks_is_refused():
    runs = virtual("joint", OURS)
    assert not pruned_embeddings(runs)
    assert pruned_embeddings(headed(runs, "pruned"))
    for count in ("body and output layer", "all parameters"):
        with pytest.raises(InputError, match="does not have this count"):
            recount(runs, count)
    with pytest.raises(InputError, match="no run at"):
        smallest(runs, "body", 0.6)
    dense = RunTable(r for r in runs if r.sparsity == 0)
    with pytest.raises(InputError, match="reaches the loss"):
        worth(dense, "body")
