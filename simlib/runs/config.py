"""What to run: the one description of a training run, the same in code, files and commands."""

from __future__ import annotations

import hashlib
import json
import math
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from simlib.errors import InputError
from simlib.paper import PRUNE_END, PRUNE_START
from simlib.pruning import USUAL_SCHEDULES, check_pruner, parse_pattern, usual_schedule
from simlib.runs.shape import HEAD_SIZE, Shape, derive_shape

PRUNING_FIELDS = (
    *("pattern", "pruner", "schedule", "prune_start", "prune_end", "mask_interval"),
    *("mask_optimizer", "kernels"),
)
# fields that came after runs had been published, and what those runs did: that leaves a run_id as
# it was
LATER_FIELDS = {
    **{"mask_optimizer": True, "kernels": "masks", "compute": "eager"},
    **{"beta2": 0.99, "average": "none", "ema_half_life": 0.01},
    **{"head_size": HEAD_SIZE, "position_bias": "flat", "weight_bits": None},
}
# fields that decide the learning rate, which decides the result
LR_RULE = ("lr_base", "lr_width", "lr_density")
BASE_LR = {"adamw": 0.004, "adafactor": 0.02}  # of a dense model of width 32
# beyond what can be trained: a value above is a slip, and is refused before it is computed with
MOST_PARAMS = MOST_STEPS = 10**15
MOST_DATA = 10**18
MOST_AT_ONCE = 10**6  # sequences or images of a step, tokens of a sequence, layers, threads
MOST_SEED = 2**63 - 1  # as torch takes it
STEEPEST = 10.0  # power of a learning rate in width or density
AVERAGED_HALF_LIVES = 10  # of an EMA; weights before them would count for less than a thousandth


class RunConfig(BaseModel):
    """One training run. Immutable and hashable; `run_id` names it.

    Raises InputError, one sentence, for the first value that cannot work.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    family: Literal["gpt", "t5", "vit"] = Field("gpt", description="model family")
    corpus: str = Field("python", description="training data, by the name load_corpus takes")
    corpus_sha256: str = Field("", description="refuse any other version of the corpus")
    nonzero_params: int = Field(
        13_824, gt=0, le=MOST_PARAMS, description="non-zero weights in the body at the end"
    )
    sparsity: float = Field(0.0, ge=0, description="fraction of zero weights at the end")
    depth: int = Field(
        2, gt=0, le=MOST_AT_ONCE, description="layers (t5: of encoder and decoder each)"
    )
    head_size: int = Field(
        HEAD_SIZE,
        ge=2,
        le=4096,
        description="width of an attention head, or the nearest that can be built",
    )
    qk_norm: bool = Field(True, description="norm of queries and keys before attention")
    position_bias: Literal["flat", "slopes"] = Field(
        "flat",
        description="t5: position bias at the start: flat, or falling by a slope for each head",
    )
    weight_bits: int | None = Field(
        None, ge=1, le=8, description="train the body at 1 to 8 bits a weight; default full"
    )
    pattern: str = Field(
        "unstructured",
        description="where the body's zeros lie: unstructured, global, n:m, blockBxB",
    )
    pruner: str = Field(
        "gmp", description=f"which weights go: {', '.join(USUAL_SCHEDULES)}, or your module:Class"
    )
    schedule: Literal["cubic", "geometric", "oneshot", "constant"] | None = Field(
        None, description="how sparsity grows; default by pruner"
    )
    prune_start: float = Field(
        PRUNE_START, ge=0, lt=1, description="start of pruning, share of the steps"
    )
    prune_end: float = Field(
        PRUNE_END, gt=0, le=1, description="end of pruning, share of the steps"
    )
    mask_interval: int = Field(
        20, gt=0, le=MOST_STEPS, description="optimizer steps between mask updates"
    )
    mask_optimizer: bool = Field(
        True, description="keep optimizer state, gradient norm and step size to unpruned weights"
    )
    embeddings: Literal["dense", "pruned"] = Field(
        "pruned",
        description="embeddings, output layer: pruned, unstructured, at 1 - sqrt(1 - S), or dense",
    )
    data_seen: int | None = Field(
        None, gt=0, le=MOST_DATA, description="training data, tokens or images (this or steps)"
    )
    steps: int | None = Field(
        None, gt=0, le=MOST_STEPS, description="optimizer steps (this or data_seen)"
    )
    batch: int = Field(8, gt=0, le=MOST_AT_ONCE, description="sequences or images a step")
    seq_len: int = Field(128, gt=1, le=MOST_AT_ONCE, description="tokens a sequence (text)")
    patch: int = Field(8, gt=0, le=MOST_AT_ONCE, description="side of a patch, pixels (vision)")
    lr: float | None = Field(
        None,
        gt=0,
        description="peak learning rate; by default "
        "lr_base * (32 / width)^lr_width * (1 - sparsity)^-lr_density",
    )
    lr_base: float | None = Field(
        None, gt=0, description="rate of a dense model of width 32; default by optimizer"
    )
    lr_width: float = Field(
        0.75, ge=-STEEPEST, le=STEEPEST, description="how fast the rate falls with width, a power"
    )
    lr_density: float = Field(
        0.0,
        ge=-STEEPEST,
        le=STEEPEST,
        description="how fast the rate rises as density falls, a power; lr_width / 2 makes it "
        "one rate for one nonzero_params",
    )
    lr_schedule: Literal["constant", "cosine", "rsqrt"] = Field(
        "constant", description="learning rate after warm-up"
    )
    warmup_steps: int = Field(100, ge=0, le=MOST_STEPS, description="steps of linear warm-up")
    cooldown: float = Field(
        0.15, ge=0, lt=1, description="last share of the steps with a linear fall to zero"
    )
    optimizer: Literal["adamw", "adafactor"] = Field("adamw", description="optimizer")
    beta2: float = Field(0.99, gt=0, lt=1, description="decay of adamw's second moment, a step")
    weight_decay: float = Field(0.0, ge=0, description="decoupled weight decay of matrices")
    average: Literal["none", "ema", "mean", "both"] = Field(
        "none",
        description="averages of the weights to evaluate beside the last ones: "
        "exponential (ema), over the cooldown (mean)",
    )
    ema_half_life: float = Field(
        0.01,
        gt=0,
        le=1 / AVERAGED_HALF_LIVES,
        description="half-life of the ema, share of the steps",
    )
    grad_clip: float = Field(1.0, ge=0, description="largest gradient norm; 0 for no limit")
    seed: int = Field(
        0, ge=0, le=MOST_SEED, description="of initial weights, data order and random masks"
    )
    precision: Literal["float32", "bfloat16"] = Field("float32", description="arithmetic")
    device: Literal["cpu", "cuda"] = Field("cpu", description="where to train")
    threads: int = Field(1, gt=0, le=4096, description="CPU threads")
    kernels: Literal["masks", "auto", "sparse"] = Field(
        "masks", description="once masks are fixed: masks, sparse kernels, or what is faster (auto)"
    )
    compute: Literal["auto", "eager", "fused"] = Field(
        "auto",
        description="torch's own operations (eager), whole sublayers compiled from C (fused), or "
        "what is faster (auto)",
    )
    start: str = Field("scratch", description="scratch, or a run_id or checkpoint to start from")
    valid_windows: int = Field(512, gt=1, le=10**9, description="validation sequences or images")

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise InputError(_sentence(error)) from None

    @field_validator("corpus", "pattern", "pruner", "start", mode="after")
    @classmethod
    def _is_text(cls, text: str) -> str:
        if "\0" in text:
            raise InputError(f"{text!r:.80} holds a NUL character: no name of a file has one")
        return text

    @model_validator(mode="after")
    def _fits_together(self) -> RunConfig:
        if self.sparsity >= 1:
            raise InputError(
                f"sparsity {self.sparsity:g} leaves no weights: use a fraction from 0 to below 1"
            )
        if (self.data_seen is None) == (self.steps is None):
            raise InputError("give either data_seen or steps, and not both")
        _ = self.shape
        _check_pattern(self.pattern, self.sparsity)
        check_pruner(self.pruner)
        if self.sparsity:
            self._check_pruning()
        elif self.start != "scratch":
            raise InputError(f"start {self.start!r} is for sparse runs: set a sparsity above 0")
        self._check_recipe()
        return self

    def _check_recipe(self) -> None:
        if self.compute == "fused" and not self.can_be_fused:
            raise InputError(
                f"compute 'fused' with device {self.device!r}, precision {self.precision!r}, "
                f"{self.threads} threads and kernels {self.kernels!r}: it works in float32 on one "
                "thread of a CPU, with kernels 'masks', so use compute 'auto'"
            )
        if self.lr_schedule == "cosine" and self.cooldown != 0.15:
            raise InputError("a cosine schedule falls by itself: leave cooldown at its default")
        ruled = [name for name in LR_RULE if getattr(self, name) != _default(name)]
        if self.lr is not None and ruled:
            raise InputError(f"lr {self.lr:g} is the rate itself: leave {ruled[0]} out, or lr")
        if self.optimizer != "adamw" and self.beta2 != _default("beta2"):
            raise InputError(f"beta2 {self.beta2:g} is adamw's: {self.optimizer} has no such decay")
        if self.average in ("mean", "both") and self.cooldown_step == self.total_steps:
            raise InputError(
                f"average {self.average!r} takes the mean over the cooldown, and there is none: "
                "give a cooldown, or use average 'ema'"
            )

    def _check_pruning(self) -> None:
        if self.prune_end < self.prune_start:
            raise InputError(
                f"prune_end {self.prune_end:g} lies before prune_start {self.prune_start:g}: "
                "swap them"
            )
        if (self.pruner == "from_checkpoint") != (self.start != "scratch"):
            raise InputError(
                f"pruner {self.pruner!r} with start {self.start!r}: from_checkpoint needs the "
                "run_id or path of a dense run as start, and nothing else takes one"
            )
        if self.kernels == "sparse" and (self.device, self.precision) != ("cpu", "float32"):
            raise InputError(
                f"kernels 'sparse' with device {self.device!r} and precision {self.precision!r}: "
                "they work in float32 on a CPU, so use kernels 'masks' or 'auto'"
            )
        if self.kernels != "masks" and self.weight_bits:
            raise InputError(
                f"kernels {self.kernels!r} with weight_bits {self.weight_bits}: sparse kernels "
                "multiply with whole weights, so use kernels 'masks'"
            )
        if self.kernels != "masks" and not self.mask_optimizer:
            raise InputError(
                f"kernels {self.kernels!r} with mask_optimizer false: it takes the gradients of "
                "pruned weights, which sparse kernels do not compute, so use kernels 'masks'"
            )
        first, last = self.prune_steps
        if self.pruner == "random_static" and self.ramp != "constant":
            raise InputError(
                f"pruner 'random_static' with schedule {self.ramp!r}: its mask never changes, so "
                "leave the schedule at its default"
            )
        if self.ramp != "oneshot" and last - first < self.mask_interval:
            raise InputError(
                f"{self.total_steps} steps leave {last - first} for pruning, fewer than one "
                f"update every {self.mask_interval}: train longer or lower mask_interval"
            )

    @cached_property
    def shape(self) -> Shape:
        """Width, depth, heads and MLP size; see simlib.runs.shape for the rule."""
        size = (self.family, self.nonzero_params, self.sparsity, self.depth)
        return derive_shape(*size, self.head_size)

    @property
    def data_per_step(self) -> int:
        """Tokens (language; in t5 those of the encoder's inputs) or images (vision) a step."""
        return self.batch if self.family == "vit" else self.batch * self.seq_len

    @property
    def total_steps(self) -> int:
        """Optimizer steps, from `steps` or rounded from `data_seen`."""
        if self.steps is not None:
            return self.steps
        return max(1, round((self.data_seen or 0) / self.data_per_step))

    @property
    def prune_steps(self) -> tuple[int, int]:
        """First and last optimizer step of pruning."""
        return round(self.prune_start * self.total_steps), round(self.prune_end * self.total_steps)

    @property
    def cooldown_step(self) -> int:
        """Optimizer steps done when the final linear fall of the learning rate begins."""
        share = 0.0 if self.lr_schedule == "cosine" else self.cooldown
        return self.total_steps - round(share * self.total_steps)

    @property
    def ramp(self) -> str:
        """Name of the pruning schedule: `schedule`, or the one the pruner is meant for."""
        return self.schedule or usual_schedule(self.pruner)

    @property
    def peak_lr(self) -> float:
        """Learning rate after warm-up: `lr`, or that of the rule.

        By default `base * (32 / width)^(3/4)`, chosen from the runs of gpt-recipe: the best rate
        falls with width, more slowly than the 1/width of Yang et al. 2022, and more is lost above
        it than below, so the rule errs below. Where the dense width alone counts, a sparse model
        has a lower rate than the dense one of equal `nonzero_params`, which is narrower.
        """
        if self.lr is not None:
            return self.lr
        base = BASE_LR[self.optimizer] if self.lr_base is None else self.lr_base
        by_width = base * (32 / self.shape.width) ** self.lr_width
        return float(by_width * (1 - self.sparsity) ** -self.lr_density)

    @property
    def averages_from(self) -> dict[str, int]:
        """Optimizer steps done when each average of the weights begins, by name."""
        window = math.ceil(AVERAGED_HALF_LIVES * self.ema_half_life * self.total_steps)
        starts = {"ema": max(0, self.total_steps - window), "mean": self.cooldown_step}
        return {name: start for name, start in starts.items() if self.average in (name, "both")}

    @property
    def can_be_fused(self) -> bool:
        """Whether fused operations know this kind of run."""
        return (self.device, self.precision, self.threads, self.kernels) == (
            "cpu",
            "float32",
            1,
            "masks",
        )

    @cached_property
    def canonical(self) -> dict[str, Any]:
        """The fields that decide the result, with defaults filled in: equal for equal runs.

        Among them `kernels` and `compute`: others add up in another order, which decides last
        digits as threads do.
        """
        fields = self.model_dump(exclude={"data_seen"})
        fields |= {"steps": self.total_steps, "lr": self.peak_lr, "schedule": self.ramp}
        if self.shape == derive_shape(self.family, self.nonzero_params, self.sparsity, self.depth):
            fields["head_size"] = HEAD_SIZE  # at this width both give the same heads
        del fields["seq_len" if self.family == "vit" else "patch"]
        if self.family != "t5":
            del fields["position_bias"]
        for name in LR_RULE:
            del fields[name]
        if "ema" not in self.averages_from:
            del fields["ema_half_life"]
        for name, before in LATER_FIELDS.items():
            if fields.get(name) == before:
                del fields[name]
        if not self.sparsity:
            for name in (*PRUNING_FIELDS, "embeddings"):
                fields.pop(name, None)
        return fields

    @cached_property
    def run_id(self) -> str:
        """First 16 hex digits of the SHA-256 of the canonical fields as JSON."""
        return digest(self.canonical)

    @cached_property
    def private_from(self) -> int:
        """Steps after which this run may differ from others of its prefix.

        Up to then nothing depends on how, or how far, it will be pruned, which averages are kept,
        nor (unless the learning rate falls over the whole run) on how long it will train.
        """
        if self.start != "scratch":
            return 0
        # the first mask follows step prune_steps[0], and may need that step's gradient
        start = max(0, self.prune_steps[0] - 1) if self.sparsity else self.total_steps
        return min(start, self.cooldown_step, self.total_steps, *self.averages_from.values())

    @cached_property
    def prefix_id(self) -> str:
        """Equal for runs that are one and the same until the first leaves at `private_from`."""
        fields = self.canonical | {"shape": str(self.shape)}
        own = {*PRUNING_FIELDS, "embeddings", "nonzero_params", "sparsity", "valid_windows"}
        own |= {"average", "ema_half_life"}
        if self.lr_schedule != "cosine":
            own |= {"steps", "cooldown"}
        return digest({name: value for name, value in fields.items() if name not in own})


def _default(name: str) -> Any:
    return RunConfig.model_fields[name].default


def digest(fields: dict[str, Any]) -> str:
    """First 16 hex digits of the SHA-256 of `fields` as sorted JSON."""
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def load_config(path: str | Path) -> RunConfig:
    """A config written as JSON. Raises InputError if the file is missing or wrong."""
    try:
        return RunConfig(**json.loads(Path(path).read_text()))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as a run configuration: {error}") from error


def _check_pattern(pattern: str, sparsity: float) -> None:
    kind, n, m = parse_pattern(pattern)
    if kind == "n:m" and sparsity and abs(sparsity - (1 - n / m)) > 1e-3:
        raise InputError(
            f"pattern {pattern!r} means sparsity {1 - n / m:g}, not {sparsity:g}: make them agree"
        )


def _sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    shown = f"{first['input']!r:.80}"
    if first["type"] == "value_error":
        return first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        return f"a run has no field {name!r:.80}; it has {', '.join(RunConfig.model_fields)}"
    if first["type"] == "literal_error":
        return f"{name} {shown} is unknown: use {first['ctx']['expected']}"
    return f"{name} {shown} is not possible: {first['msg'][0].lower()}{first['msg'][1:]}"
