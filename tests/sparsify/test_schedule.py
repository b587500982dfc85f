"""Schedules: they end on time and exactly, and never go back."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simlib.errors import InputError
from simlib.sparsify import (
    SCHEDULES,
    Constant,
    Cubic,
    GeometricDensity,
    OneShot,
    Schedule,
    make_schedule,
)


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    start = draw(st.integers(0, 500))
    length = draw(st.integers(1, 500))
    name = draw(st.sampled_from(sorted(SCHEDULES)))
    return make_schedule(name, start, start + length, draw(st.integers(1, length)))


@given(schedules(), st.floats(0.01, 0.99))
@settings(max_examples=100, deadline=None)
def test_masks_change_last_at_the_end_and_then_have_the_final_sparsity(
    schedule: Schedule, final: float
):
    updates = schedule.updates()
    assert updates[-1] == schedule.end
    assert schedule.sparsity_at(schedule.end, final) == final
    assert schedule.sparsity_at(schedule.end + 1000, final) == final
    assert updates == [t for t in range(schedule.end + 200) if schedule.due(t)]
    gaps = [b - a for a, b in itertools.pairwise(updates)]
    assert all(0 < gap <= schedule.interval for gap in gaps)


@given(schedules(), st.floats(0.01, 0.99))
@settings(max_examples=100, deadline=None)
def test_sparsity_never_falls_and_never_overshoots(schedule: Schedule, final: float):
    path = [schedule.sparsity_at(t, final) for t in range(schedule.end + 5)]
    assert path == sorted(path)
    assert min(path) >= 0
    assert max(path) == final


def test_cubic_is_seven_eighths_done_halfway():
    assert Cubic(100, 300, 10).sparsity_at(200, 0.8) == pytest.approx(0.7)


def test_geometric_density_falls_by_one_factor_per_step():
    schedule = GeometricDensity(10, 50, 5)
    density = [1 - schedule.sparsity_at(t, 0.9) for t in range(10, 51)]
    factors = [b / a for a, b in itertools.pairwise(density)]
    assert factors == pytest.approx([0.1 ** (1 / 40)] * 40)


def test_ramps_begin_dense_and_constant_begins_sparse():
    for ramp in (Cubic(10, 50, 5), GeometricDensity(10, 50, 5)):
        assert ramp.sparsity_at(10, 0.9) == 0
        assert not ramp.due(10)
    assert Constant(10, 50, 5).sparsity_at(10, 0.9) == 0.9
    assert Constant(0, 50, 5).due(0)


def test_one_shot_makes_one_mask():
    assert OneShot(500).updates() == [500]


@pytest.mark.parametrize(
    ("numbers", "reason"),
    [
        ((-1, 10, 1), "cannot start"),
        ((20, 10, 1), "before it starts"),
        ((0, 10, 0), "impossible"),
        ((0, 50, 100), "fewer than one pruning update"),
        ((5, 5, 1), "needs steps between"),
    ],
)
def test_impossible_schedules_are_refused(numbers: tuple[int, int, int], reason: str):
    with pytest.raises(InputError, match=reason):
        Cubic(*numbers)


def test_unknown_schedule_is_refused_with_the_choices():
    with pytest.raises(InputError, match=r"'linear'.*cubic"):
        make_schedule("linear", 0, 10)
