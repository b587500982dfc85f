"""Learning rates: what holds at the joints of every schedule."""

import pytest

from simlib.runs.config import RunConfig
from simlib.train.rates import lr_at


def rates(**changes: object) -> list[float]:
    config = RunConfig(**({"steps": 1000, "lr": 1.0, "warmup_steps": 100} | changes))
    return [lr_at(config, t) for t in range(1, 1001)]


def test_constant_rate_warms_up_holds_and_falls() -> None:
    lr = rates()
    assert lr[0] == pytest.approx(0.01)
    assert set(lr[99:850]) == {1.0}
    assert lr[850:] == sorted(lr[850:], reverse=True)
    assert 0 < lr[-1] < 0.01


def test_rsqrt_and_cosine() -> None:
    lr = rates(lr_schedule="rsqrt", cooldown=0.0)
    assert lr[99] == 1.0
    assert lr[399] == pytest.approx(0.5)
    cosine = rates(lr_schedule="cosine")
    assert cosine[500] == pytest.approx(0.5, abs=0.01)
    assert cosine[-1] < 1e-4


def test_length_decides_nothing_before_the_fall() -> None:
    for name in ("constant", "rsqrt"):
        short = rates(lr_schedule=name)
        long = RunConfig(steps=5000, lr=1.0, warmup_steps=100, lr_schedule=name)
        assert short[:850] == [lr_at(long, t) for t in range(1, 851)]
