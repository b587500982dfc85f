"""C1 to C6 and C16: does the law hold, and is each of its parts needed?"""

from __future__ import annotations

import numpy as np

from simlib.analysis.calibration import calibrate
from simlib.analysis.predictions import allowed, judged
from simlib.claims.estimates import (
    PUBLISHED_ERROR,
    SPARSITY,
    loss_span,
    of_law,
    of_members,
    of_misses,
)
from simlib.claims.evidence import Measured, Region
from simlib.claims.rule import Claim, Rule
from simlib.claims.sources import (
    EVERY,
    HELD_OUT,
    LANGUAGE,
    OURS,
    PLATEAU,
    RELEASED,
    T5,
    RunSet,
    Sources,
)
from simlib.datasets.published import T5_XL
from simlib.errors import InputError
from simlib.laws.extensions import DataFactorLaw, SizeExponentLaw
from simlib.laws.law import PUBLISHED, Array
from simlib.laws.rivals import FreeMultiplier
from simlib.runs.cells import same_sparsity

UNEXPLAINED = 0.03  # share of the span of log losses that a law may miss on a size it has not seen
DRIFT = 1.1  # factor by which a constant may drift from the smallest size to the largest
DATA_WORTH = 4 / 3  # factor by which sparsity may change what data is worth
LEAST_SHARE = 0.05  # of the size term that pruning never removes, for it to be called a floor
HELD_OUT_ERROR = 0.01  # of the loss: the goal for runs that were never fitted
EARLY = 0.41  # halfway between a power of density, a third, and the published laws, 0.48
HALF, MOST = 0.5, 0.875
WORTHWHILE = 1.25  # dense weights; a joint law can find no sparse one that is worth less than 1
LANGUAGES = (LANGUAGE, PLATEAU)


def explains(sources: Sources, runs: RunSet) -> Measured:
    """Error on sizes held out of the fit, as a share of the span of the losses."""
    view = sources.view(runs)
    error, (low, high) = view.error("one size")
    span = loss_span(view.law)
    return Measured(error / span, (low / span, high / span), f"{error:.2%} of {span:.0%}")


def fit_error(sources: Sources, runs: RunSet) -> Measured:
    """log-RMSE of the fit on the runs that it was fitted to."""
    view = sources.view(runs)
    log_rmse = view.law.log_rmse
    return Measured(*view.error("in sample"), note=f"log-RMSE with it {log_rmse:.2%}")


def unseen_sizes(sources: Sources, runs: RunSet) -> Measured:
    """log-RMSE on sizes held out of the fit."""
    return Measured(*sources.view(runs).error("one size"), paper=PUBLISHED_ERROR)


def drift_with_size(sources: Sources, runs: RunSet) -> Measured:
    """Sparsity's factor on the size term, largest size over smallest, in the wider law."""
    law_file = sources.view(runs).wider("size-exponent")
    if not isinstance(law_file.law, SizeExponentLaw) or law_file.ensemble is None:
        raise InputError(f"{law_file.name} is no ensemble of laws with an exponent of their own")
    small, large = law_file.fitted_range.nonzero_params

    def drift(law: SizeExponentLaw) -> Array:
        S, N = np.array([[SPARSITY], [0.0]]), np.array([large, small])
        size = law.expand(2).size(S, N)
        factor = size[..., 0, :] / size[..., 1, :]
        return np.asarray(factor[..., 0] / factor[..., 1])

    assert isinstance(law_file.ensemble, SizeExponentLaw)
    return of_members(law_file, law_file.law, law_file.ensemble, drift)


def floor_share(sources: Sources, runs: RunSet) -> Measured:
    """Share of the dense size term that pruning never removes."""
    published = PUBLISHED[runs.table]
    paper = float(published.c_S / (published.a_S + published.c_S))
    return of_law(sources.view(runs).law, lambda law: law.c_S / (law.a_S + law.c_S), paper)


def early_worth(sources: Sources, runs: RunSet) -> Measured:
    """How much of the worth at 87.5% is reached at 50%, on the log scale."""
    law_file = sources.view(runs).wider("free-multiplier")
    law, members = law_file.law, law_file.ensemble
    assert isinstance(law, FreeMultiplier)
    assert isinstance(members, FreeMultiplier)
    return of_members(law_file, law, members, _early_share)


def _early_share(law: FreeMultiplier) -> Array:
    """ln of the worth at 50% over that at 87.5%.

    Each halving of the density multiplies a pure power's worth by the same: a third of its log
    worth at an eighth is there at a half.
    """
    worth = {
        S: np.log(eff)
        for level, eff in zip(law.levels, law.eff, strict=True)
        for S in (HALF, MOST)
        if same_sparsity(level, S)
    }
    if len(worth) < 2:
        raise InputError(f"it has no runs at both {HALF:.0%} and {MOST:.1%} sparsity")
    return np.asarray(worth[HALF] / worth[MOST])


def data_factor(sources: Sources, runs: RunSet) -> Measured:
    """By what factor 75% sparsity changes the data that a model needs, in the wider law."""
    if runs in RELEASED and runs.table not in sources.tables:
        found = sources.comparison(runs.table).assessment("data-factor")
        density = 1 - SPARSITY
        ends = [density**end for end in found.intervals.get("h", ()) if end is not None]
        if len(ends) < 2:
            raise InputError("the wider law's exponent of data has no closed interval")
        return Measured(density ** found.coefficients["h"], (min(ends), max(ends)))
    law_file = sources.view(runs).wider("data-factor")
    law, members = law_file.law, law_file.ensemble
    assert isinstance(law, DataFactorLaw)
    assert isinstance(members, DataFactorLaw)
    return of_members(law_file, law, members, lambda found: (1 - SPARSITY) ** found.h)


def released_miss(sources: Sources, runs: RunSet) -> Measured:
    """Miss of the run that the authors held out over the half-interval of its forecast."""
    found = calibrate(sources.view(runs).law, T5_XL)
    ratio = float(found.ratios[0])
    return Measured(ratio, (ratio, ratio), f"error {found.bias:+.1%}")


def held_out_error(sources: Sources, runs: RunSet) -> Measured:
    """log-RMSE of predictions that were written down before the runs."""
    found = judged(sources.predicted(runs.table), sources.runs(runs.table))
    return Measured(found.rmse, (found.rmse, found.rmse), f"mean error {found.bias:+.1%}")


def held_out_misses(sources: Sources, runs: RunSet) -> Measured:
    """Runs outside the intervals that were written down before them, over one more than allowed."""
    predictions = sources.predicted(runs.table)
    found = judged(predictions, sources.runs(runs.table))
    chance = allowed(predictions, found)
    return of_misses(
        found.missed,
        chance,
        f"{found.missed} of {len(found)} outside their "
        f"{found.level:.0%} interval, chance allows {chance}",
    )


def worth(sources: Sources, runs: RunSet) -> Measured:
    """Worth of a non-zero weight, in dense ones."""
    return of_law(sources.view(runs).law, lambda law: law.multiplier(SPARSITY))


def _unseen(id: str, sets: tuple[RunSet, ...]) -> Rule:
    return Rule(
        id,
        "error on unseen sizes, share of the span of log losses",
        "each size in turn is left out of the fit and predicted; root mean square of what is left "
        "beyond the spread over seeds, with an interval from curves drawn whole; the span is "
        "between the smallest size and data and the largest, dense",
        Region(0, UNEXPLAINED),
        "%",
        sets,
        explains,
        "joint",
        "interaction",
    )


def _fit(id: str, sets: tuple[RunSet, ...]) -> Rule:
    return Rule(
        id,
        "log-RMSE of the fit beyond the spread over seeds",
        "over the settings of the table, means over seeds, less what seeds put into them; interval "
        "from curves drawn whole; at most that of the published fits",
        Region(0, PUBLISHED_ERROR),
        "%",
        sets,
        fit_error,
        "joint",
        "cliff",
    )


CLAIMS = (
    Claim(
        "C1",
        "One joint law of sparsity, size and data describes sparse pretraining in vision "
        "and language.",
        "112 + 48 runs [R]",
        "notebooks/law_forms.md",
        (_unseen("C1", EVERY),),
    ),
    Claim(
        "C2",
        "Predicted losses agree with measured ones.",
        "log-RMSE 1.05% (ViT), 1.04% (T5) [D]",
        "notebooks/fit_released.md",
        (
            _fit("C2", OURS),
            Rule(
                "C2.unseen",
                "log-RMSE on unseen sizes",
                "each size in turn is left out of the fit and predicted, since in sample a fit "
                "cannot be worse than the published one; it holds the noise of seeds, too; at most "
                "twice the error of the published fits in sample",
                Region(0, 2 * PUBLISHED_ERROR),
                "%",
                RELEASED,
                unseen_sizes,
                "joint",
                "interaction",
            ),
        ),
    ),
    Claim(
        "C3",
        "Sparsity acts as a multiplicative constant on the size term.",
        "curves parallel in N [P]",
        "notebooks/law_forms.md",
        (
            Rule(
                "C3",
                f"factor of {SPARSITY:.0%} sparsity on the size term, largest N over smallest",
                "in a law whose exponent of N may depend on sparsity; interval from its ensemble",
                Region(1 / DRIFT, DRIFT),
                "x",
                EVERY,
                drift_with_size,
                "joint",
                "crossing curves",
            ),
        ),
    ),
    Claim(
        "C4",
        "That constant is a saturating power law of density.",
        "b_S, c_S = 0.821, 468 (ViT), 0.722, 45.0 (T5) [P]",
        "notebooks/law_forms.md",
        (
            Rule(
                "C4",
                "c_S / (a_S + c_S)",
                "share of the dense size term that pruning never removes, in the joint law; "
                "interval from its ensemble",
                Region(LEAST_SHARE, 1 - LEAST_SHARE),
                "%",
                RELEASED,
                floor_share,
                "joint",
                "no saturation",
            ),
            Rule(
                "C4.early",
                "share of the log worth at 87.5% sparsity that is there at 50%",
                "in a law with one free worth a sparsity, since the share of the joint law is not "
                "identified where nothing saturates: a third for a pure power of density, 0.48 in "
                "both published laws; interval from its ensemble",
                Region(EARLY),
                "",
                OURS,
                early_worth,
                "joint",
                "no saturation",
            ),
        ),
    ),
    Claim(
        "C5",
        "The data term does not depend on sparsity.",
        "",
        "notebooks/law_forms.md",
        (
            Rule(
                "C5",
                f"data that {SPARSITY:.0%} sparsity needs, over dense, beyond size",
                "in a law where sparsity may change what data is worth; interval from its ensemble",
                Region(1 / DATA_WORTH, DATA_WORTH),
                "x",
                EVERY,
                data_factor,
                "joint",
                "hungry for data",
            ),
        ),
    ),
    Claim(
        "C6",
        "The law extrapolates to models larger than any fitted one.",
        "T5-XL at 75%: 1.4828 measured [R], 1.468 by the published fit [D]",
        "notebooks/extrapolation.md",
        (
            Rule(
                "C6",
                "error on the held-out run over the half-interval of its forecast",
                "T5-XL, by the joint law of the smaller runs; its ensemble joined with their "
                "residuals",
                Region(0, 1.0),
                "",
                (T5,),
                released_miss,
                "joint",
                "breaks",
            ),
            Rule(
                "C6.error",
                "log-RMSE on held-out runs",
                "of predictions written down before the runs, which were never fitted; the number "
                "itself decides",
                Region(0, HELD_OUT_ERROR, margin=HELD_OUT_ERROR / 2),
                "%",
                (HELD_OUT,),
                held_out_error,
                "joint",
                "breaks",
            ),
            Rule(
                "C6.inside",
                "held-out runs outside their 90% interval, over one more than chance allows",
                "of the same predictions; chance allows what nine of ten draws from the ensemble "
                "stay within, which errors common to all runs raise; the number itself decides",
                Region(0, 0.999),
                "",
                (HELD_OUT,),
                held_out_misses,
                "joint",
                "breaks",
            ),
        ),
    ),
)
LANGUAGE_CLAIM = Claim(
    "C16",
    "Decoder-only language models follow the law, too.",
    "",
    "notebooks/gpt_sweep.md",
    (
        _unseen("C16.unseen", LANGUAGES),
        _fit("C16.fit", LANGUAGES),
        Rule(
            "C16.worth",
            f"worth of a weight at {SPARSITY:.0%}, in dense ones",
            "in the joint law; interval from its ensemble",
            Region(WORTHWHILE),
            "x",
            LANGUAGES,
            worth,
            "joint",
            "hardly any worth",
        ),
    ),
)
