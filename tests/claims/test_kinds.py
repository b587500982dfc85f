"""What kinds of sparsity cost, as a factor on size that families share."""

import numpy as np
import pytest

from simlib.analysis.contrasts import REFERENCE
from simlib.analysis.kinds import kind_costs
from simlib.claims import RULES
from simlib.claims.sources import KINDS, Sources
from simlib.claims.training import families_differ
from simlib.errors import InputError
from simlib.runs.table import RunRecord, RunTable

SLOPES = {"gpt": 0.1, "vit": 0.6}  # of log loss along log size


def table(
    costs: dict[tuple[str, str], float], scatter: float = 0.001, sizes: int = 5, data: int = 1
) -> RunTable:
    """Runs of two families whose kinds cost a factor on size; `costs` by family and kind."""
    rng, rows = np.random.default_rng(0), []
    kinds = ("unstructured", "random_gradual", "block4x4")
    for family, slope in SLOPES.items():
        for i in range(sizes):
            for seed in range(3):
                for D in range(1, data + 1):
                    for kind in kinds:
                        factor = costs.get((family, kind), 1.0)
                        loss = (2**i / factor) ** -slope * np.exp(scatter * rng.standard_normal())
                        rows.append(
                            RunRecord(
                                family=family,
                                pattern="block4x4" if kind == "block4x4" else "unstructured",
                                pruner="random_gradual" if kind == "random_gradual" else "gmp",
                                schedule=REFERENCE.schedule,
                                prune_start=REFERENCE.start,
                                prune_end=REFERENCE.end,
                                nonzero_params=6000 * 2**i,
                                dense_params=24000 * 2**i,
                                sparsity=0.75,
                                data_seen=D * 10**6 * 2**i,
                                seed=seed,
                                loss=loss,
                            )
                        )
    return RunTable(rows)


def both(kind: str, gpt: float, vit: float) -> dict[tuple[str, str], float]:
    return {("gpt", kind): gpt, ("vit", kind): vit}


def answer(runs: RunTable) -> str:
    found = families_differ(Sources(tables={KINDS.table: runs}, shipped=False), KINDS)
    assert found.interval[0] <= found.value <= found.interval[1]
    (rule,) = (rule for rule in RULES if rule.id == "S4")
    return rule.region.answer(found.interval)


def test_a_cost_in_size_is_found_whatever_size_is_worth_to_a_family():
    found = {(c.family, c.kind): c.values for c in kind_costs(table(both("block4x4", 1.3, 1.3)))}
    for family in SLOPES:
        block, random = found[family, "block4x4"], found[family, "random gradual"]
        assert np.exp(block.mean()) == pytest.approx(1.3, rel=0.03)
        assert np.exp(random.mean()) == pytest.approx(1.0, rel=0.03)
        assert len(block) == 5


def test_families_differ_where_a_kind_costs_one_more_size_than_another():
    assert answer(table(both("block4x4", 1.3, 1.3))) == "contradicts"
    assert answer(table(both("block4x4", 1.5, 1.1))) == "supports"
    assert answer(table(both("random_gradual", 1.1, 1.5))) == "supports"
    assert answer(table(both("block4x4", 1.5, 1.1), scatter=0.1)) == "undecided"


def test_what_cannot_be_asked_is_said():
    alone = table({}).where(family="gpt")
    with pytest.raises(InputError, match="in two families"):
        families_differ(Sources(tables={KINDS.table: alone}, shipped=False), KINDS)
    with pytest.raises(InputError, match="several amounts of data"):
        kind_costs(table({}, data=2))
    with pytest.raises(InputError, match="it takes 3"):
        kind_costs(table({}, sizes=1))
    rising = RunTable(r.model_copy(update={"loss": 1 / r.loss}) for r in table({}))
    with pytest.raises(InputError, match="does not fall along its sizes"):
        kind_costs(rising)
