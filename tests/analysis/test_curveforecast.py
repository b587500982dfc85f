"""Ends of curves from beginnings: exact where curves bend alike, covered where they scatter."""

import numpy as np
import pytest
from click.testing import CliRunner

from simlib.analysis.curveforecast import (
    LossCurve,
    forecast,
    learn,
    load_scores,
    power_law_end,
    read_curves,
    score,
    shipped_curves,
    slope,
)
from simlib.cli import cli
from simlib.errors import InputError

DATA = np.linspace(1e8, 2e9, 20)


def curves(count=60, noise=0.0, groups=6, seed=0):
    """Straight lines in log-log, of different slopes; the end scatters."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(count):
        loss = 4 * (DATA / DATA[0]) ** -rng.uniform(0.05, 0.2)
        loss[-1] *= np.exp(rng.normal(0, noise))
        found.append(LossCurve(f"run {i}", f"size {i % groups}", DATA, loss))
    return found


def test_curves_that_bend_alike_are_told_exactly():
    every = curves()
    learned = learn(every[1:], 0.4)
    told = forecast(learned, every[0].until(0.4))
    assert told.loss == pytest.approx(every[0].loss[-1], rel=1e-9)
    assert learned.width < 1e-9


def test_the_slope_is_that_of_the_recent_points_only():
    loss = np.where(DATA < 1e9, 9.0, 3.0 * (DATA / 1e9) ** -0.3)
    assert slope(LossCurve("a", "a", DATA, loss)) == pytest.approx(-0.3)


def test_intervals_hold_as_many_ends_as_they_say():
    held = [score(curves(60, 0.02, seed=s), 0.4, 0.9)[0].methods[0].coverage for s in range(10)]
    assert np.mean(held) == pytest.approx(0.9, abs=0.04)


def test_a_power_law_alone_is_right_where_the_curve_is_one():
    loss = 2 + 3 * (DATA / DATA[0]) ** -0.5
    begun = LossCurve("a", "a", DATA, loss).until(0.6)
    assert power_law_end(begun, DATA[-1]) == pytest.approx(loss[-1], rel=1e-4)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda found: learn(found[:5], 0.4), "at least 8 finished"),
        (lambda found: learn(curves(20, groups=2), 0.4), "2 groups"),
        (lambda found: learn(found, 1.5), "share between 0 and 1"),
        (lambda found: learn(found, 0.06), "points in its first 6%"),
    ],
)
def test_what_cannot_be_learned_is_refused(change, said):
    with pytest.raises(InputError, match=said):
        change(curves())


def table(path, found):
    lines = [
        f"{c.name},{c.group},{d / 1000},{loss}"
        for c in found
        for d, loss in zip(c.data.tolist(), c.loss.tolist(), strict=True)
    ]
    path.write_text("\n".join(["run,size,step,val", *lines, "late,size 0,5,", ""]))
    return path


def test_a_table_gives_its_curves_and_the_command_tells_what_still_runs(tmp_path):
    every = curves()
    done = table(tmp_path / "done.csv", every[1:])
    read = read_curves(done, "run", "step*1000", "val", "size")
    assert len(read) == 59
    np.testing.assert_allclose(read[0].loss, every[1].loss)
    now = table(tmp_path / "now.csv", [every[0].until(0.4)])
    columns = ("--run", "run", "--data", "step*1000", "--loss", "val", "--group", "size")
    asked = ("forecast", "--curves", str(done), *columns, "--unfinished", str(now))
    out = CliRunner().invoke(cli, [*asked, "--end", "2e9"], catch_exceptions=False).output
    assert f"run 0: {every[0].loss[-1]:.4f}" in out
    with pytest.raises(InputError, match="--end says"):
        CliRunner().invoke(cli, asked, catch_exceptions=False)


def test_shipped_scores_of_our_own_curves_are_what_the_curves_give():
    shipped = load_scores("gpt-plateau")
    again, _ = score(shipped_curves("gpt-plateau"), shipped.scores[0].share, shipped.level)
    assert again.methods[0].rmse == pytest.approx(shipped.scores[0].methods[0].rmse, rel=1e-6)
    assert again.methods[0].coverage == shipped.scores[0].methods[0].coverage
