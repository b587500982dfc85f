"""A table on a plateau and one past it: what the chart and the sentences say of each."""

import numpy as np
import pytest

from simlib.pages.plateaus import falls_chart
from simlib.runs.table import RunRecord, RunTable


def runs(loss, data=(1e6, 2e6, 4e6, 8e6), sizes=(6144, 12288, 24576)):
    return RunTable(
        RunRecord(
            run_id=f"{N}-{D}",
            nonzero_params=N,
            dense_params=N,
            sparsity=0,
            data_seen=int(D),
            loss=float(loss(D) + 1e-3 * i),
            device="none",
            commit="none",
        )
        for i, N in enumerate(sizes)
        for D in data
    )


def power_law(D):
    return 1 + (D / 1e6) ** -0.5


def plateau(D):
    return np.minimum(2.5, 1 + (D / 2e6) ** -0.5 + (D < 3e6))


def test_a_doubling_saves_ever_less_in_a_power_law_and_first_more_after_a_plateau():
    chart = falls_chart({"first": runs(plateau), "second": runs(power_law)}, "bytes")
    rows = chart.data.values
    by = {(r["table"], r["data_seen"]): r["fall"] for r in rows}
    for D in (1e6, 2e6, 4e6):
        assert by["second", D] == pytest.approx(power_law(D) - power_law(2 * D))
        assert by["first", D] == pytest.approx(plateau(D) - plateau(2 * D))
    said = chart.description
    assert (
        "In first up to 2,000,000 bytes each saves more than the one before: the plateau." in said
    )
    assert "In second each saves less than the one before, from the shortest run on." in said
