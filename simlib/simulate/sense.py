"""Predictions that mean nothing: no plan rests on them, wherever it is made.

A law is a sum of powers, so it gives a number for any run, however small. A loss above that of
guessing among all outcomes alike is no loss of a trained model, and no model is trained on a
handful of tokens.
"""

from __future__ import annotations

import math

from simlib.fit.fittedlaw import FittedLaw

SMALLEST = 1e3  # parameters, tokens or images below which a run is no model
# tokens or classes that a prediction chooses among, by the run table behind a law. T5 v1.1 has a
# vocabulary of 32,128; our texts are bytes, our images have 256 classes. The loss of the ViT runs
# on JFT-4B is not known to be that of a choice of one class.
OUTCOMES = {
    "t5-c4": 32_128,
    "gpt-laptop": 256,
    "gpt-plateau": 256,
    "t5-laptop": 256,
    "vit-laptop": 256,
    "bits-laptop": 256,
    "bytes-laptop": 256,
}


def chance_loss(law_file: FittedLaw) -> float | None:
    """Loss in nats of guessing all outcomes alike, ln of their number; None where it is unknown."""
    outcomes = OUTCOMES.get(law_file.table or "")
    return math.log(outcomes) if outcomes else None


def nonsense(law_file: FittedLaw, N: float, D: float, loss: float) -> str | None:
    """Why a prediction of `loss` nats for N parameters on D tokens or images means nothing.

    A sentence without its end, or None where it may mean something.
    """
    if N < SMALLEST or D < SMALLEST:
        return f"{N:.3g} parameters on {D:.3g} tokens or images are no model"
    chance = chance_loss(law_file)
    if chance is not None and loss > chance:
        return (
            f"the law {law_file.name!r} predicts a loss of {loss:.3g} for {N:.3g} parameters on "
            f"{D:.3g} tokens or images, and guessing alone has {chance:.3g}"
        )
    return None
