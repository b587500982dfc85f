"""The derivation of the best sparsity in pictures: mask, worth, cost and loss, frame by frame."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from simlib.analysis.numbers import number, percent
from simlib.laws.law import JointLaw
from simlib.laws.optimum import chinchilla_flops, cost_model, optimal_sparsity

KEPT = 36  # weights that are left in the picture of the mask, whatever the sparsity
MULTIPLE = 20.0  # of the dense optimum: the budget of the last picture
SECONDS = 0.8  # of a frame
SIDE, GAP = 150, 30  # of a panel, and between two, in pixels
TITLES = ("1 The mask", "2 What a weight is worth", "3 What it costs", "4 The loss")
SPARSITIES = (0.0, 0.25, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.875, 0.9)


class Derivation:
    """An animation of four panels under one law, which plays when the reader asks for it."""

    def __init__(self, law: JointLaw, cost: str = "dense") -> None:
        self.law, self.cost = law, cost
        self.flops = MULTIPLE * float(chinchilla_flops(law, 1e9))
        self.best = float(optimal_sparsity(law, 1e9, self.flops, cost))

    def worth(self, S: np.ndarray) -> np.ndarray:
        """Dense weights for each non-zero one."""
        return np.asarray(self.law.multiplier(S))

    def price(self, S: np.ndarray) -> np.ndarray:
        """Training cost of a token, over that of the dense model."""
        return np.asarray(cost_model(self.cost).multiplier(S))

    def loss(self, S: np.ndarray) -> np.ndarray:
        """Loss of a billion non-zero parameters at the budget."""
        return np.asarray(self.law(S, 1e9, cost_model(self.cost).data_seen(S, 1e9, self.flops)))

    def _repr_mimebundle_(self, **_options: object) -> dict[str, str]:
        curves = (self.worth, self.price, self.loss)
        steps = (*SPARSITIES, self.best)  # the last one stands while nothing plays
        frames = "".join(
            f'<g class="frame" style="animation-delay: {i * SECONDS:.1f}s">{_mask(S)}'
            + "".join(_point(f, S, i + 1) for i, f in enumerate(curves))
            + f'<text x="0" y="{SIDE + 40}">{percent(S, 1)} sparsity</text></g>'
            for i, S in enumerate(steps)
        )
        still = "".join(_curve(f, i + 1) for i, f in enumerate(curves))
        titles = "".join(
            f'<text x="{i * (SIDE + GAP)}" y="12" font-weight="600">{title}</text>'
            for i, title in enumerate(TITLES)
        )
        width = 4 * SIDE + 3 * GAP
        said = (
            "The same number of weights is left at every sparsity while the matrix grows; each of "
            "them is worth more, up to a limit; each token costs more, without limit; so at "
            f"{MULTIPLE:g} times the dense optimum the loss is least at {percent(self.best)} "
            "sparsity."
        )
        style = _STYLE.format(total=f"{len(steps) * SECONDS:.1f}", share=f"{100 / len(steps):.2f}")
        return {
            "text/html": (
                f'<div class="derivation">{style}<label><input type="checkbox"> Play</label>'
                f'<svg viewBox="0 -4 {width} {SIDE + 50}" role="img" aria-label="{said}">{titles}'
                f"{still}{frames}</svg><p>{said}</p></div>"
            ),
            "text/plain": said,
        }


_STYLE = """<style>
.derivation {{ overflow-x: auto; }}
.derivation svg {{ width: 100%; min-width: 34rem; font-size: 12px; fill: currentColor; }}
.derivation .curve {{ fill: none; stroke: var(--pst-color-primary); stroke-width: 2; }}
.derivation .kept {{ fill: var(--pst-color-primary); }}
.derivation .gone {{ fill: none; stroke: var(--pst-color-border); }}
.derivation .frame {{ visibility: hidden; }}
.derivation .frame:last-of-type {{ visibility: visible; }}
.derivation:has(:checked) .frame {{ visibility: hidden;
  animation: derivation {total}s step-end infinite; }}
@keyframes derivation {{ 0% {{ visibility: visible; }} {share}% {{ visibility: hidden; }} }}
</style>"""


def _mask(S: float) -> str:
    """A square matrix in which `KEPT` places are filled, scattered by chance but nested."""
    side = round(float(np.sqrt(KEPT / (1 - S))))
    order = np.random.default_rng(0).permutation(side * side)
    kept = set(order[:KEPT].tolist())
    cell = SIDE / round(float(np.sqrt(KEPT / (1 - max(SPARSITIES)))))
    return "".join(
        f'<rect class="{"kept" if i in kept else "gone"}" x="{(i % side) * cell:.1f}" '
        f'y="{20 + (i // side) * cell:.1f}" width="{cell - 1:.1f}" height="{cell - 1:.1f}"/>'
        for i in range(side * side)
    )


def _place(values: np.ndarray, all_values: np.ndarray) -> np.ndarray:
    low, high = float(all_values.min()), float(all_values.max())
    return 20 + (SIDE - 8) * (1 - (values - low) / (high - low))


def _grid() -> np.ndarray:
    return np.linspace(0, max(SPARSITIES), 60)


def _curve(quantity: Callable[[np.ndarray], np.ndarray], panel: int) -> str:
    S = _grid()
    x = panel * (SIDE + GAP) + S / S[-1] * SIDE
    y = _place(quantity(S), quantity(S))
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    return f'<polyline class="curve" points="{points}"/>'


def _point(quantity: Callable[[np.ndarray], np.ndarray], S: float, panel: int) -> str:
    grid = _grid()
    value = quantity(np.array([S]))
    x = panel * (SIDE + GAP) + S / grid[-1] * SIDE
    y = float(_place(value, quantity(grid))[0])
    label = f"{number(float(value[0]))} ×" if panel < 3 else f"{number(float(value[0]), 5)} nats"
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5"/>'
        f'<text x="{panel * (SIDE + GAP)}" y="{SIDE + 40}">{label}</text>'
    )
