"""What a finished run leaves: its row in the run table, its side file, its weights."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from simlib.errors import InputError
from simlib.files import remove
from simlib.laws.costs import training_flops
from simlib.models import Data, build_model
from simlib.runs.config import RunConfig
from simlib.runs.table import RunRecord, RunTable, recorded_runs
from simlib.train.checkpoint import cannot_write, load_state, save_state, write_text
from simlib.train.settings import commit, cpu, versions
from simlib.train.trainer import Trainer

TABLE, RESUME = "runs.csv", "resume.safetensors"


@dataclass(frozen=True)
class Folder:
    """Where everything of a set of runs lies.

    runs.csv                        the run table, a row a finished run
    RUN_ID/side.json                configuration, curve, throughput, FLOP
    RUN_ID/weights.safetensors      final weights
    RUN_ID/resume.safetensors       the last checkpoint, while the run is on its way
    RUN_ID/resume.before            the checkpoint before it
    prefixes/TRUNK_ID/STEP.safetensors  dense prefixes, kept for runs that come later

    What was found damaged has ".damaged" at the end of its name.
    """

    root: Path

    @property
    def table(self) -> Path:
        """The run table."""
        return self.root / TABLE

    @property
    def lock(self) -> Path:
        """What says that somebody works here; see `claim`."""
        return self.root / "lock"

    def of(self, config: RunConfig) -> Path:
        """The folder of one run."""
        return self.root / config.run_id

    def resume(self, config: RunConfig) -> Path:
        """The checkpoint of a run on its way."""
        return self.of(config) / RESUME

    def resumes(self, config: RunConfig) -> list[Path]:
        """Where checkpoints of a run on its way are, the last one first."""
        return [self.resume(config), before(self.resume(config))]

    def weights(self, run_id: str) -> Path:
        """The final weights of a run."""
        return self.root / run_id / "weights.safetensors"

    def prefix(self, config: RunConfig, step: int) -> Path:
        """The state of the prefix of `config` after `step` steps."""
        return self.root / "prefixes" / config.prefix_id / f"{step:09d}.safetensors"

    def trunks_before(self, config: RunConfig, step: int) -> list[Path]:
        """The saved states of the prefix of `config` up to `step`, the closest first."""
        limit = self.prefix(config, step)
        saved = [p for p in limit.parent.glob("[0-9]*.safetensors") if p.name <= limit.name]
        return sorted(saved, reverse=True)

    def prefix_resume(self, config: RunConfig) -> Path:
        """The checkpoint of a prefix on its way."""
        return self.prefix(config, 0).with_name(RESUME)

    def prefix_resumes(self, config: RunConfig) -> list[Path]:
        """Where checkpoints of a prefix on its way are, the last one first."""
        return [self.prefix_resume(config), before(self.prefix_resume(config))]

    def brought_start(self, config: RunConfig) -> Path:
        """Where the weights that a run starts from lie if they came from another machine."""
        return self.of(config) / "start.safetensors"

    def start(self, config: RunConfig) -> Path:
        """The weights that a run starts from. Raises InputError if there are none."""
        named = Path(config.start)
        places = [
            self.brought_start(config),
            self.weights(config.start),
            named / "weights.safetensors",
            named,
        ]
        found = [p for p in places if p.is_file()]
        if not found:
            raise InputError(
                f"start {config.start!r} is neither a finished run in {self.root} nor a "
                "checkpoint file: train that run first"
            )
        return found[0]

    def refuse_if_read_only(self) -> None:
        """Raise InputError if nothing can be written here."""
        probe = self.root / ".writable"
        write_text(probe, "")
        try:
            remove(probe)
        except OSError as error:
            raise cannot_write(probe, error) from error

    def recorded(self) -> RunTable:
        """The rows so far."""
        return recorded_runs(self.table)


def before(resume: Path) -> Path:
    """Where the checkpoint is kept that `resume` took the place of."""
    return resume.with_suffix(".before")


def make_record(trainer: Trainer, started_at: str) -> RunRecord:
    """Validate a finished trainer and describe the run."""
    config, shape = trainer.config, trainer.config.shape
    loss, stderr = (math.nan, None) if trainer.diverged else trainer.validate()
    diverged = not math.isfinite(loss)
    averaged = {} if diverged else trainer.validate_averages()
    shuffled = (None, None) if config.family != "t5" or diverged else trainer.validate_shuffled()
    steps = trainer.position
    data_seen = steps * config.data_per_step
    tail = trainer.curve["loss"][-1:]
    flops = {p: training_flops(n / steps, data_seen) for p, n in trainer.weight_steps.items()}
    return RunRecord(
        run_id=config.run_id,
        family=config.family,
        dataset=config.corpus,
        dataset_sha256=trainer.batches.sha256,
        pattern=config.pattern if config.sparsity else "unstructured",
        pruner=config.pruner if config.sparsity else "none",
        start=config.start,
        nonzero_params=trainer.nonzero_params,
        dense_params=trainer.dense_params,
        total_nonzero_params=trainer.total_nonzero_params,
        head_nonzero_params=trainer.head_nonzero_params,
        embeddings=config.embeddings if config.sparsity else "dense",
        sparsity=1 - trainer.nonzero_params / trainer.dense_params,
        data_seen=data_seen,
        flops=flops["body"],
        flops_head=flops["head"],
        flops_embeddings=flops["embeddings"],
        steps=steps,
        batch=config.batch,
        seq_len=None if config.family == "vit" else config.seq_len,
        width=shape.width,
        depth=shape.depth,
        heads=shape.heads,
        lr=config.peak_lr,
        seed=config.seed,
        prune_start=config.prune_start if config.sparsity else None,
        prune_end=config.prune_end if config.sparsity else None,
        schedule=config.ramp if config.sparsity else "",
        optimizer=config.optimizer,
        mask_optimizer=config.mask_optimizer,
        weight_bits=config.weight_bits,
        train_loss=tail[0] if tail and math.isfinite(tail[0]) else None,
        loss=math.nan if diverged else loss,
        loss_stderr=None if diverged else stderr,
        loss_ema=averaged.get("ema"),
        loss_mean=averaged.get("mean"),
        loss_shuffled=shuffled[0],
        loss_shuffled_stderr=shuffled[1],
        diverged=diverged,
        seconds=trainer.seconds,
        device=config.device,
        precision=config.precision,
        compute=trainer.compute,
        threads=config.threads,
        cpu=cpu(),
        versions=versions() + _kernels(trainer),
        commit=commit(),
        started_at=started_at,
    )


def _kernels(trainer: Trainer) -> str:
    """What the record says of sparse kernels, which decide last digits as versions do."""
    layers = sum(len(s["layers"]) for s in trainer.switches or [] if s["sparse"])
    return f", sparse kernels in {layers} layers" if layers else ""


def save_side(
    folder: Folder, trainer: Trainer, record: RunRecord, weights: dict[str, Tensor]
) -> None:
    """Write the side file and the final weights, which are whole."""
    config, curve = trainer.config, trainer.curve
    side: dict[str, Any] = {
        "config": config.model_dump(),
        "run_id": config.run_id,
        "prefix_id": config.prefix_id,
        "private_from": config.private_from,
        "mean_nonzero_params": trainer.weight_steps["body"] / max(1, trainer.position),
        "flops": record.flops,
        "flops_dense": training_flops(trainer.dense_params, record.data_seen),
        "epochs": trainer.batches.epochs(trainer.first_batch + trainer.position),
        "data_per_second": record.data_seen / max(trainer.seconds, 1e-9),
        "kernels": trainer.switches or [],
        "curve": {name: [_short(v) for v in values] for name, values in curve.items()},
    }
    side |= trainer.shared_by
    write_text(folder.of(config) / "side.json", json.dumps(side) + "\n")
    saved = {
        "model": weights,
        "config": config.model_dump(),
        "data": vars(trainer.batches.data),
    }
    save_state(folder.weights(config.run_id), saved)


def read_side(root: str | Path, run_id: str) -> dict[str, Any]:
    """The side file of a run: configuration, curve (lists of equal length), FLOP, throughput."""
    side: dict[str, Any] = json.loads((Path(root) / run_id / "side.json").read_text())
    return side


def load_model(root: str | Path, run_id: str) -> nn.Module:
    """A finished run's model with its final weights, on the CPU.

    Raises InputError if the run has none in `root`.
    """
    saved = load_state(Folder(Path(root)).weights(run_id))
    data = saved["data"] | {"image_shape": tuple(saved["data"]["image_shape"])}
    config = saved["config"] | {"device": "cpu"}
    model = build_model(RunConfig(**config), Data(**data))
    model.load_state_dict(saved["model"])
    return model


def _short(value: float) -> float | None:
    """Seven digits, and null for what JSON cannot hold."""
    return float(f"{value:.7g}") if math.isfinite(value) else None
