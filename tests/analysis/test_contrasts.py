"""A contrast finds the difference that was put into the runs, and pairs only what is alike."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simlib.analysis.contrasts import REFERENCE, Arm, against_dense, match, t_interval
from simlib.analysis.worth import log_multipliers, multiplier, trend, unexplained
from simlib.errors import InputError
from simlib.fit.fittedlaw import FittedLaw
from simlib.laws.law import JointLaw
from simlib.runs.cells import seed_spread
from simlib.runs.table import RunRecord, RunTable

LAW = JointLaw(a_S=30.0, b_S=0.8, c_S=60.0, b_N=0.4, a_D=3e4, b_D=0.4, c=0.8)
TWO_FOUR = REFERENCE._replace(pattern="2:4")
SIZES, DATA = (6144, 12288, 24576), (512_000, 1_024_000)


def run(arm: Arm, loss: float, *, N=6144, D=512_000, S=0.5, seed=0, **more) -> RunRecord:
    return RunRecord(
        **{
            "family": "gpt",
            "dataset": "python",
            "pattern": arm.pattern,
            "pruner": arm.pruner,
            "schedule": arm.schedule,
            "prune_start": arm.start,
            "prune_end": arm.end,
            "nonzero_params": N,
            "dense_params": round(N / (1 - S)),
            "sparsity": S,
            "data_seen": D,
            "seed": seed,
            "loss": loss,
            **more,
        }
    )


def table(worth, seeds=(0, 1), noise=0.0, S=0.5) -> RunTable:
    """Both arms over sizes, data and seeds; `worth(N, D)` multiplies the size of the other's law.

    `noise` belongs to the seed, so it is common to both runs of a pair.
    """
    rng, rows = np.random.default_rng(1), []
    for N in SIZES:
        for D in DATA:
            for seed in seeds:
                common = np.exp(noise * rng.standard_normal())
                for arm, m in ((REFERENCE, 1.0), (TWO_FOUR, worth(N, D))):
                    loss = float(LAW(S, m * N, D)) * common
                    rows.append(run(arm, loss, N=N, D=D, S=S, seed=seed))
    return RunTable(rows)


def law_file(scatter: float, members: int = 200) -> FittedLaw:
    rng = np.random.default_rng(0)
    spread = np.exp(scatter * rng.standard_normal((members, 7)))
    return FittedLaw("known", LAW, LAW.from_vector(LAW.vector() * spread))


@settings(max_examples=25, deadline=None)
@given(worth=st.floats(0.5, 1.5), noise=st.floats(0.0, 0.1))
def test_the_multiplier_that_was_put_in_comes_out(worth: float, noise: float) -> None:
    pairs = match(table(lambda N, D: worth, noise=noise), TWO_FOUR)
    assert np.allclose(log_multipliers(pairs, LAW), np.log(worth), atol=1e-9)
    found = multiplier(pairs, law_file(0.0))
    assert found.mean == pytest.approx(worth)
    assert found.interval == pytest.approx((worth, worth))
    assert (pairs.effect().mean < 0) == (worth > 1) or worth == pytest.approx(1)


def test_an_uncertain_law_widens_the_interval() -> None:
    pairs = match(table(lambda N, D: 0.9), TWO_FOUR)
    low, high = multiplier(pairs, law_file(0.05)).interval
    wider_low, wider_high = multiplier(pairs, law_file(0.1)).interval
    assert wider_low < low < 0.9 < high < wider_high


def test_data_multiplier_inverts_the_law_in_data() -> None:
    less = RunTable(
        run(arm, float(LAW(0.5, 6144, share * 512_000)))
        for arm, share in ((REFERENCE, 1.0), (TWO_FOUR, 0.7))
    )
    assert np.exp(log_multipliers(match(less, TWO_FOUR), LAW, "data")) == pytest.approx([0.7])
    with pytest.raises(InputError, match="'size' or 'data'"):
        log_multipliers(match(less, TWO_FOUR), LAW, "time")


def test_a_loss_that_no_size_reaches_leaves_an_end_open() -> None:
    found = multiplier(match(table(lambda N, D: 1e9), TWO_FOUR), law_file(0.05))
    assert found.interval[1] is None or found.interval[1] > 1e6


def test_trend_tells_one_multiplier_from_one_that_grows() -> None:
    same = trend(match(table(lambda N, D: 0.9), TWO_FOUR), law_file(0.0))
    assert same is not None
    assert same.size.mean == pytest.approx(0, abs=1e-9)
    grows = trend(match(table(lambda N, D: 0.9 * (N / 6144) ** 0.1), TWO_FOUR), law_file(0.0))
    assert grows is not None
    assert grows.size.mean == pytest.approx(0.1 * np.log(2))
    assert grows.size.sign == 1
    assert grows.data.mean == pytest.approx(0, abs=1e-9)
    one_size = RunTable(r for r in table(lambda N, D: 0.9) if r.nonzero_params == 6144)
    assert trend(match(one_size, TWO_FOUR), law_file(0.0)) is None


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"D": 1_024_000},
        {"N": 12288},
        {"S": 0.75},
        {"lr": 0.1},
        {"family": "vit"},
        {"depth": 3},
        {"dataset": "c4"},
    ],
    ids=str,
)
def test_runs_that_differ_in_anything_else_are_no_pair(change: dict) -> None:
    alike = RunTable([run(REFERENCE, 2.0), run(TWO_FOUR, 2.1)])
    assert len(match(alike, TWO_FOUR)) == 1
    with pytest.raises(InputError, match="no run of"):
        match(RunTable([run(REFERENCE, 2.0), run(TWO_FOUR, 2.1, **change)]), TWO_FOUR)


def test_rounded_counts_still_pair_and_diverged_runs_are_counted() -> None:
    nearly = run(TWO_FOUR, 2.1).model_copy(update={"nonzero_params": 6150, "sparsity": 0.4995})
    assert len(match(RunTable([run(REFERENCE, 2.0), nearly]), TWO_FOUR)) == 1
    lost = run(TWO_FOUR, float("nan"), seed=1, diverged=True)
    runs = [run(REFERENCE, 2.0), nearly, run(REFERENCE, 2.0, seed=1), lost]
    pairs = match(RunTable(runs), TWO_FOUR)
    assert (len(pairs), pairs.lost) == (1, 1)


def test_two_partners_are_refused() -> None:
    runs = [run(REFERENCE, 2.0, run_id="a"), run(REFERENCE, 2.0, run_id="b"), run(TWO_FOUR, 2.1)]
    with pytest.raises(InputError, match="pairs with a and b"):
        match(RunTable(runs), TWO_FOUR)


def test_a_mask_made_once_has_no_end() -> None:
    cut = [run(REFERENCE._replace(schedule="oneshot", end=end), 2.0) for end in (0.75, 1.0)]
    assert Arm.of(cut[0]) == Arm.of(cut[1])
    assert str(Arm.of(cut[0])) == "magnitude, one-shot at 25%"
    assert str(TWO_FOUR) == "2:4, magnitude, cubic 25–75%"
    assert TWO_FOUR.beside(REFERENCE) == "2:4"
    assert Arm.of(cut[0]).beside(REFERENCE) == "one-shot at 25%"
    assert REFERENCE.beside(REFERENCE) == "the same"


def test_one_multiplier_explains_what_it_made_and_no_more() -> None:
    one = match(table(lambda N, D: 0.9), TWO_FOUR)
    assert unexplained(one, LAW) == pytest.approx(0, abs=1e-9)
    two = match(table(lambda N, D: 0.9 if SIZES[0] == N else 0.7), TWO_FOUR)
    assert unexplained(two, LAW) > 1e-3


def test_dense_partners_have_the_same_size_data_and_seed() -> None:
    dense = [run(REFERENCE, 2.0, S=0.0, N=6200), run(REFERENCE, 1.0, S=0.0, N=6200, seed=1)]
    others = [run(REFERENCE, 1.0, S=0.0, N=6200, D=999), run(REFERENCE, 1.0, S=0.0, N=12288)]
    sparse = run(TWO_FOUR, 2.2)
    pairs = against_dense(RunTable([*dense, *others, sparse]), TWO_FOUR)
    assert np.exp(pairs.differences) == pytest.approx([1.1])
    with pytest.raises(InputError, match="dense partner"):
        against_dense(RunTable([*others, sparse]), TWO_FOUR)


def test_common_noise_cancels_and_cells_that_differ_widen_the_interval() -> None:
    noisy = match(table(lambda N, D: 0.9, noise=0.3), TWO_FOUR)
    exact = match(table(lambda N, D: 0.9), TWO_FOUR)
    assert noisy.effect().mean == pytest.approx(exact.effect().mean)
    (low, high), (cells_low, cells_high) = (
        exact.effect().interval,
        exact.effect_over_cells().interval,
    )
    assert cells_low < low < high < cells_high
    assert {k: len(v) for k, v in exact.split(lambda r: r.nonzero_params).items()} == dict.fromkeys(
        SIZES, 4
    )


def test_t_interval_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    hits = [
        low <= 1.0 <= high
        for low, high in (t_interval(x).interval for x in rng.normal(1, 2, (2000, 4)))
    ]
    assert np.mean(hits) == pytest.approx(0.9, abs=0.025)
    assert t_interval([1.0]).interval == (None, None)
    assert t_interval([1.0]).sign == 0
    assert t_interval([1.0, 1.1, 0.9]).sign == 1
    assert t_interval([-1.0, -1.1, -0.9]).sign == -1


def test_seed_spread_is_pooled_over_cells() -> None:
    rng = np.random.default_rng(5)
    rows = [
        run(REFERENCE, cell * float(np.exp(0.01 * rng.standard_normal())), D=cell * 1000, seed=seed)
        for cell in range(1, 41)
        for seed in range(3)
    ]
    spread = seed_spread(RunTable([*rows, run(TWO_FOUR, 5.0)]))
    low, high = spread.interval
    assert low < 0.01 < high
    assert (spread.degrees, spread.cells) == (80, 40)
    with pytest.raises(InputError, match="two seeds"):
        seed_spread(RunTable(rows[:1]))
