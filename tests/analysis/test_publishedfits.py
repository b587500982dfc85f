"""Audits of published fits: what authors report comes out at their coefficients again."""

import numpy as np
import pytest

from simlib.analysis.publishedfits import (
    AUDITS,
    QUEST_EFF,
    load_audits,
    quest_format,
    quest_law,
    repeated_loss,
)
from simlib.datasets.adapter import load_adapter
from simlib.datasets.download import find
from simlib.pages.published_fits import REPRODUCED

SHIPPED = {a.name: a for a in load_audits().audits}


@pytest.mark.parametrize("name", SHIPPED)
def test_no_published_objective_lies_below_the_minimum(name):
    found = SHIPPED[name]
    assert found.least <= found.published
    assert found.agreeing > 0
    assert all(c.low <= c.high for c in found.conclusions)


@pytest.mark.parametrize("name", [n for n, a in SHIPPED.items() if a.reported is not None])
def test_what_authors_report_is_the_objective_at_their_coefficients(name):
    """Else their runs, their objective or their coefficients were misread."""
    found = SHIPPED[name]
    assert found.published == pytest.approx(found.reported, rel=REPRODUCED)


def test_an_audit_can_be_made_again():
    adapter = load_adapter("gemstones-cool")
    if find(adapter.file, adapter.sha256) is None:
        pytest.skip(f"{adapter.file} is not at hand: set SIMLIB_DATA to its folder")
    again = AUDITS["gemstones-cool"]()
    shipped = SHIPPED[again.name]
    assert again.least == pytest.approx(shipped.least, rel=1e-6)
    assert again.published == pytest.approx(shipped.published, rel=1e-9)


def test_formats_are_grouped_as_their_authors_did():
    def run(weights, activations, bits=4):
        return quest_format({"w_quant": weights, "a_quant": activations, "w_bits": bits})

    assert run("NoQuantizer", "NoQuantizer", 16) == "16"
    assert run("HadamardFourEightTrustQuantizer", "HadamardFourEightTrustQuantizer") == "4:8"
    assert run("HalfHadamardFP4TrustQuantizer", "HalfHadamardFP4TrustQuantizer") == "fp4"
    assert run("HadamardTrustQuantizer", "HadamardTrustQuantizer", 2) == "2"
    assert run("TrustQuantizer", "TrustQuantizer", 2) == "2NOH"
    assert run("HadamardTrustQuantizer", "NoQuantizer", 3) == "3WO"


def test_a_format_counts_as_its_share_of_parameters():
    law = quest_law()
    for level, worth in zip(law.levels, QUEST_EFF.values(), strict=True):
        np.testing.assert_allclose(law(level, 1e8, 1e10), law(0.0, worth * 1e8, 1e10))


def test_repeats_count_less_and_less_and_fresh_data_in_full():
    N, U = 1e6, 1e9  # a size that is too small to be in excess
    once, twice, often = (float(repeated_loss((15.0, 5.0), N, k * U, U)) for k in (1, 2, 100))
    fresh = float(repeated_loss((15.0, 5.0), N, 2 * U, 2 * U))
    assert once > twice > often
    assert twice > fresh
    assert float(repeated_loss((1e9, 5.0), N, 2 * U, U)) == pytest.approx(fresh, rel=1e-6)
