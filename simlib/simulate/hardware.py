"""Accelerators by their data sheets, and what a run on them costs in time, energy and money.

Peaks are matrix throughput without sparsity unless a name says 2:4. A vendor's "with sparsity"
figure is the 2:4 peak. Figures as published by the vendors:

- V100 SXM2 32 GB: NVIDIA V100 data sheet (January 2020): 125 TFLOPS FP16, 900 GB/s, 300 W.
- A100 SXM 40 and 80 GB: NVIDIA A100 data sheet (June 2021): BF16 312 (2:4 624) TFLOPS, TF32 156
  (312), INT8 624 (1,248) TOPS; 1,555 and 2,039 GB/s; 400 W.
- L40S: NVIDIA L40S data sheet (2023): BF16 362 (733), FP8 733 (1,466), TF32 183 (366) TFLOPS;
  48 GB, 864 GB/s, 350 W.
- RTX 4090: NVIDIA Ada GPU architecture white paper (2022), appendix A: BF16 with FP32
  accumulation 165.2 (330.4), FP8 with FP32 accumulation 330.3 (660.6), TF32 82.6 (165.2) TFLOPS,
  INT8 660.6 (1,321.2) TOPS; 24 GB, 1,008 GB/s, 450 W.
- H100 SXM: NVIDIA H100 data sheet: BF16 1,979, FP8 3,958, TF32 989, INT8 3,958, all with sparsity,
  half of it without; 80 GB, 3.35 TB/s, 700 W. H200 SXM: the same peaks, 141 GB, 4.8 TB/s, 700 W.
- B200: NVIDIA Blackwell architecture brief, HGX B200 at 1,000 W: BF16 2.25 (4.5), FP8 4.5 (9),
  FP4 9 (18), TF32 1.1 (2.2) PFLOPS a GPU; 8 TB/s; 180 GB usable of 192 (DGX B200: 1,440 GB for 8).
- MI300X: AMD Instinct MI300X data sheet (2023): BF16 1,307.4 (2,614.9), FP8 2,614.9 (5,229.8), TF32
  653.7 (1,307.4) TFLOPS; 192 GB, 5.3 TB/s, 750 W.
- TPU v4, v5e, v5p, v6e: Google Cloud TPU documentation, one page a version: BF16 275, 197, 459,
  918 TFLOPS; INT8 275, 393, 918, 1,836 TOPS; 32, 16, 95, 32 GB; 1,200, 819, 2,765, 1,640 GB/s.
  v4: at most 192 W; no power is published for the others. TPUs have no 2:4 mode.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from simlib.errors import InputError

DEFAULT_UTILISATION = 0.4  # of the dense peak; 38 to 43 % reported for Llama 3 405B (2407.21783)


@dataclass(frozen=True)
class Accelerator:
    """One device. Peaks in FLOP/s by precision, memory in bytes, bandwidth in bytes/s, power in W.

    `peak_24` are the peaks with 2:4 sparsity, empty where the device has no such mode; `power` is
    None where the vendor publishes none.
    """

    name: str
    peak: Mapping[str, float]
    peak_24: Mapping[str, float]
    memory: float
    bandwidth: float
    power: float | None

    def flops_per_second(self, precision: str = "bf16") -> float:
        """Dense peak. Raises InputError for a precision the device has no figure for."""
        return self._figure(self.peak, precision)

    def flops_per_second_24(self, precision: str = "bf16") -> float:
        """Peak with 2:4 sparsity, that of the dense product; equal to it without such a mode."""
        return self._figure(self.peak_24 or self.peak, precision)

    def _figure(self, figures: Mapping[str, float], precision: str) -> float:
        if precision not in figures:
            raise InputError(
                f"{self.name} has no peak at precision {precision!r}: choose {', '.join(figures)}"
            )
        return figures[precision]


def _device(
    name: str, memory: float, bandwidth: float, power: float | None,
    pairs: Mapping[str, float], ratio_24: float = 2.0,
) -> Accelerator:  # fmt: skip
    """From TFLOPS, GB, GB/s and W; `ratio_24` is the 2:4 peak over the dense one, 0 for none."""
    peak = {k: v * 1e12 for k, v in pairs.items()}
    peak_24 = {k: v * ratio_24 for k, v in peak.items()} if ratio_24 else {}
    return Accelerator(name, MappingProxyType(peak), MappingProxyType(peak_24), memory * 1e9,
                       bandwidth * 1e9, power)  # fmt: skip


_A100 = {"bf16": 312.0, "fp16": 312.0, "tf32": 156.0, "int8": 624.0}
_HOPPER = {"bf16": 989.5, "fp16": 989.5, "tf32": 494.5, "fp8": 1979.0, "int8": 1979.0}
_ADA = {"bf16": 165.2, "fp16": 165.2, "tf32": 82.6, "fp8": 330.3, "int8": 660.6}
_L40S = {"bf16": 362.0, "fp16": 362.0, "tf32": 183.0, "fp8": 733.0, "int8": 733.0}
_B200 = {"bf16": 2250.0, "fp16": 2250.0, "tf32": 1100.0, "fp8": 4500.0, "fp4": 9000.0}
_MI300X = {"bf16": 1307.4, "fp16": 1307.4, "tf32": 653.7, "fp8": 2614.9, "int8": 2614.9}

CATALOGUE: MappingProxyType[str, Accelerator] = MappingProxyType(
    {
        d.name: d
        for d in (
            _device("v100", 32, 900, 300, {"fp16": 125.0}, 0),
            _device("a100-40", 40, 1555, 400, _A100),
            _device("a100", 80, 2039, 400, _A100),
            _device("l40s", 48, 864, 350, _L40S),
            _device("rtx4090", 24, 1008, 450, _ADA),
            _device("h100", 80, 3350, 700, _HOPPER),
            _device("h200", 141, 4800, 700, _HOPPER),
            _device("b200", 180, 8000, 1000, _B200),
            _device("mi300x", 192, 5300, 750, _MI300X),
            _device("tpu-v4", 32, 1200, 192, {"bf16": 275.0, "int8": 275.0}, 0),
            _device("tpu-v5e", 16, 819, None, {"bf16": 197.0, "int8": 393.0}, 0),
            _device("tpu-v5p", 95, 2765, None, {"bf16": 459.0, "int8": 918.0}, 0),
            _device("tpu-v6e", 32, 1640, None, {"bf16": 918.0, "int8": 1836.0}, 0),
        )
    }
)


def accelerator(name: str) -> Accelerator:
    """A device of the catalogue. Raises InputError for an unknown name."""
    key = name.lower().replace(" ", "").replace("_", "-")
    if key not in CATALOGUE:
        raise InputError(f"unknown accelerator {name!r}: choose one of {', '.join(CATALOGUE)}")
    return CATALOGUE[key]


@dataclass(frozen=True)
class Cluster:
    """Devices that train together, at a utilisation of their dense peak and a price an hour.

    `price` is what one device costs an hour in the user's own currency, `overhead` the power of
    the building over that of the devices (PUE).
    """

    device: Accelerator
    devices: int = 1
    utilisation: float = DEFAULT_UTILISATION
    precision: str = "bf16"
    price: float | None = None
    overhead: float = 1.2

    def __post_init__(self) -> None:
        if self.devices < 1:
            raise InputError(f"a cluster has at least 1 device, got {self.devices}")
        if not 0 < self.utilisation <= 1:
            raise InputError(f"utilisation lies in (0, 1], got {self.utilisation}")
        if self.price is not None and not self.price > 0:
            raise InputError(f"the price of a device-hour must be positive, got {self.price}")
        if not self.overhead >= 1:
            raise InputError(f"overhead is at least 1 (no loss in the building), got "
                             f"{self.overhead}")  # fmt: skip
        self.device.flops_per_second(self.precision)

    @property
    def flops_per_device_hour(self) -> float:
        """Useful FLOP that one device does in an hour."""
        return 3600 * self.utilisation * self.device.flops_per_second(self.precision)

    def device_hours(self, flops: float) -> float:
        """Device-hours that a cost in FLOP takes."""
        return flops / self.flops_per_device_hour

    def days(self, flops: float) -> float:
        """Days on all devices, without interruptions."""
        return self.device_hours(flops) / self.devices / 24

    def money(self, flops: float) -> float | None:
        """Price of a cost in FLOP, None without a price."""
        return None if self.price is None else self.price * self.device_hours(flops)

    def energy(self, flops: float) -> float | None:
        """Energy in kWh at full power of the devices, None where no power is published."""
        if self.device.power is None:
            return None
        return self.device_hours(flops) * self.device.power * self.overhead / 1000


HOURS_BETWEEN_FAILURES = 54 * 24 * 16384 / 419
"""Device-hours between failures: 419 unexpected interruptions of 16,384 H100 in 54 days
(Llama 3, arXiv 2407.21783, section 3.3.4)."""


def lost_to_restarts(
    devices: int, checkpoint_minutes: float = 1.0, restart_minutes: float = 15.0,
    hours_between_failures: float = HOURS_BETWEEN_FAILURES,
) -> float:  # fmt: skip
    """Share of time that failures, checkpoints and restarts add, with the best interval of saving.

    Young 1974: with `d` to write a checkpoint and `M` between failures of the whole cluster, saving
    every `sqrt(2 d M)` adds `sqrt(2 d / M)`; a restart adds its own length once every M.
    """
    if devices < 1 or min(checkpoint_minutes, restart_minutes) < 0 or hours_between_failures <= 0:
        raise InputError(
            "devices and hours between failures must be positive and minutes at least 0, got "
            f"{devices}, {hours_between_failures}, {checkpoint_minutes} and {restart_minutes}"
        )
    between = 60 * hours_between_failures / devices
    return float((2 * checkpoint_minutes / between) ** 0.5 + restart_minutes / between)
