"""What masking costs: a masked training step against the same dense step, and a mask update.

Times are processor time on one thread, measured in turn within one run, and the least of all
rounds counts: what other programs do to the machine stays out of the ratios.

    python benchmarks/masking.py
"""

import time
from collections.abc import Callable

import click
import torch
from torch import Tensor, nn

from simlib.sparsify import Constant, Sparsifier
from simlib.sparsify.select import top_k, top_n_of_m

INTERVAL = 100


def alternate(actions: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Least seconds of every action, run in turn each round, every other round backwards."""
    least = dict.fromkeys(actions, float("inf"))
    for turn in range(rounds):
        for name in list(actions)[:: 1 if turn % 2 else -1]:
            begin = time.process_time()
            actions[name]()
            least[name] = min(least[name], time.process_time() - begin)
    return least


class Loop:
    """A transformer encoder with AdamW on random tokens; `tokens` a step."""

    def __init__(self, width: int, depth: int, tokens: int, sparsity: float) -> None:
        torch.manual_seed(0)
        layer = nn.TransformerEncoderLayer(
            width, max(2, width // 32), 4 * width, 0.0, batch_first=True, norm_first=True
        )
        self.model = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3)
        self.inputs: Tensor = torch.randn(tokens // 128, 128, width)
        self.sparsifier = Sparsifier(
            self.model, self.optimizer, schedule=Constant(0, 10**9, INTERVAL), targets=sparsity
        )

    def dense(self) -> None:
        """Forward, backward, optimizer."""
        self.optimizer.zero_grad()
        self.model(self.inputs).square().mean().backward()
        self.optimizer.step()

    def masked(self) -> None:
        """The same, then pruned weights and their state back to zero."""
        self.dense()
        self.sparsifier.apply()

    def update(self) -> None:
        """One mask update of all tensors."""
        next_update(self.sparsifier)


def next_update(sparsifier: Sparsifier) -> None:
    """The mask update that comes next."""
    sparsifier.update(sparsifier.position + INTERVAL)


def steps_table(shapes: list[tuple[int, int, int]], seconds: float) -> None:
    """Masked against dense step, and the share of a run that mask updates take."""
    click.echo("width depth tokens  dense ms  masked/dense  masking share  update ms  update share")
    for width, depth, tokens in shapes:
        loop = Loop(width, depth, tokens, 0.75)
        loop.dense()
        rounds = max(5, int(seconds / (2 * alternate({"dense": loop.dense}, 3)["dense"])))
        actions = {"dense": loop.dense, "masked": loop.masked, "apply": loop.sparsifier.apply}
        times = alternate(actions, rounds)
        update = alternate({"update": loop.update}, 3)["update"]
        dense = times["dense"]
        share = update / (INTERVAL * dense + update)
        click.echo(
            f"{width:5d} {depth:5d} {tokens:6d} {dense * 1e3:9.1f} "
            f"{times['masked'] / dense:13.4f} {times['apply'] / dense:14.2%} "
            f"{update * 1e3:10.1f} {share:13.2%}"
        )


def update_table(rounds: int) -> None:
    """Choosing a mask of 4096 x 1024 float32 weights against sorting and torch.topk."""
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(4096, 1024, generator=generator)
    size, keep = weights.numel(), weights.numel() // 4
    model = nn.Linear(1024, 4096, bias=False)
    with torch.no_grad():
        model.weight.copy_(weights)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(2, 1024)).sum().backward()
    optimizer.step()
    schedule = Constant(0, 10**9, INTERVAL)
    sparsifier = Sparsifier(model, optimizer, schedule=schedule, targets=0.75)
    scores = weights.abs()
    actions: dict[str, Callable[[], object]] = {
        "full sort": lambda: scores.view(-1).sort(),
        "torch.topk": lambda: scores.view(-1).topk(keep, sorted=False),
        "torch.kthvalue": lambda: scores.view(-1).kthvalue(size - keep),
        "exact k best": lambda: top_k(scores, keep),
        "2 of 4": lambda: top_n_of_m(scores, 2, 4),
        "4 of 8": lambda: top_n_of_m(scores, 4, 8),
        "whole update": lambda: next_update(sparsifier),
    }
    times = alternate(actions, rounds)
    click.echo("\n4096 x 1024, keep 25 %       ms  full sort / this")
    for name in actions:
        click.echo(f"{name:22s} {times[name] * 1e3:8.1f} {times['full sort'] / times[name]:17.1f}")


@click.command()
@click.option("--seconds", default=10.0, show_default=True, help="Time for every model.")
@click.option("--rounds", default=5, show_default=True, help="Measurements of every selection.")
def main(seconds: float, rounds: int) -> None:
    """Print both tables. Example: python benchmarks/masking.py --seconds 3"""
    torch.set_num_threads(1)
    steps_table([(64, 2, 1024), (64, 2, 4096), (128, 4, 4096), (256, 4, 2048)], seconds)
    update_table(rounds)


if __name__ == "__main__":
    main()
