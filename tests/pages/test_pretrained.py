"""The chart of data multiples has a point for every setting, with its interval."""

from dataclasses import replace

from simlib.analysis.datamultiple import data_multiples
from simlib.datasets import load_runs
from simlib.pages import pretrained


def test_every_setting_is_drawn_once_with_its_interval():
    found = data_multiples(load_runs("pretrained-laptop"))
    values = pretrained.multiples(found).to_dict()["data"]["values"]
    assert len(values) == len(found)
    for value, multiple in zip(values, found, strict=True):
        assert value["data"] == multiple.data_seen
        assert value["multiple"] == multiple.value
        assert value["low"] <= (multiple.value or multiple.bound) <= value["high"]


def test_a_setting_that_from_scratch_wins_is_named():
    found = data_multiples(load_runs("pretrained-laptop"))
    won = [replace(m, gain=0.02, gain_interval=(0.01, 0.03)) for m in found]
    assert pretrained.losing(won) == "in none"
    lost = replace(won[0], sparsity=0.75, data_seen=4096000, gain_interval=(-0.03, -0.01))
    said = pretrained.losing([lost, *won[1:]])
    assert "75% sparsity" in said
    assert "4,096,000 bytes" in said
    assert said.startswith("only at")
