"""Progress of runs as they train: a bar for a terminal, lines redrawn in place in a notebook."""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Callable
from typing import Any

from tqdm import tqdm

from simlib.runs.config import RunConfig
from simlib.train.pack import Update

_REFRESH = 0.3  # seconds between two drawings in a notebook
_CELLS = 12


def describe_run(config: RunConfig) -> str:
    """A run in a few words: what differs most often."""
    kind = f"{100 * config.sparsity:.4g}% sparse" if config.sparsity else "dense"
    if config.sparsity and config.pattern != "unstructured":
        kind += f", {config.pattern}"
    return f"{config.family} {config.nonzero_params:,} {kind}, seed {config.seed}"


class TerminalProgress:
    """One bar on stderr over the steps of all runs, with the time left; use as a context.

    Steps of a shared prefix count for every run that has it, when that run begins.
    """

    def __init__(self, configs: list[RunConfig]) -> None:
        self.steps = {c.run_id: 0 for c in configs}
        total = sum(c.total_steps for c in configs)
        often = 0.3 if sys.stderr.isatty() else 60  # seconds; a log file needs few lines
        self.bar: Any = tqdm(total=total, unit="step", smoothing=0.05, delay=2, mininterval=often)

    def __call__(self, update: Update) -> None:
        """Move the bar."""
        run = update.config.run_id
        state = f"{describe_run(update.config)}: loss {update.loss:.3f}"
        self.bar.set_postfix_str(state, refresh=False)
        if run in self.steps:
            self.bar.update(update.position - self.steps[run])
            self.steps[run] = update.position

    def __enter__(self) -> TerminalProgress:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()


class NotebookProgress:
    """A line for every run in the output of a notebook's cell, redrawn in place."""

    def __init__(self, label: Callable[[RunConfig], str] = describe_run) -> None:
        self.label = label
        self.updates: dict[str, Update] = {}
        self.drawn = 0.0
        self.handle: Any = None

    def __call__(self, update: Update) -> None:
        """Note the state of one run; draw what is known now and then."""
        self.updates[update.config.run_id] = update
        if update.finished or time.monotonic() - self.drawn > _REFRESH:
            self.drawn = time.monotonic()
            self._draw()

    def _draw(self) -> None:
        from IPython.display import HTML, display  # a notebook has it, the library need not

        text = html.escape("\n".join(self._line(u) for u in self.updates.values()))
        content = HTML(f"<pre>{text}</pre>")
        if self.handle is None:
            self.handle = display(content, display_id=True)
        else:
            self.handle.update(content)

    def _line(self, update: Update) -> str:
        full = _CELLS * update.position // update.steps
        bar = "█" * full + "░" * (_CELLS - full)
        if update.finished:
            return f"{self.label(update.config)}  {bar}  validation {update.finished.loss:.3f}"
        state = f"step {update.position:,} of {update.steps:,}"
        return f"{self.label(update.config)}  {bar}  {state}, training {update.loss:.3f}"
