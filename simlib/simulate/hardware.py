"""Accelerators by their data sheets, and what a run on them costs in time, energy and money.

Peaks are matrix throughput in TFLOPS (TOPS for INT8), dense | with 2:4 sparsity, as the vendor
prints both. A sheet's "with sparsity" is the 2:4 peak. Memory is the printed number, a GB taken
as 1e9 bytes. A precision is left out where the vendor's documents print different figures.

- V100 SXM2 32 GB: NVIDIA V100 data sheet (volta-v100-datasheet-update-us-1165301-r5): FP16 125;
  900 GB/s, 300 W. No 2:4 mode, no BF16.
- A100 SXM 40 and 80 GB: NVIDIA A100 data sheet (nvidia-a100-datasheet-us-nvidia-1758950-r4-web)
  and Ampere architecture white paper: BF16 and FP16 312 | 624, TF32 156 | 312, INT8 624 | 1,248;
  1,555 and 2,039 GB/s; 400 W.
- L40S: NVIDIA L40S data sheet (l40s-datasheet-28413): BF16 and FP16 362.05 | 733, FP8 and INT8
  733 | 1,466, TF32 183 | 366; 48 GB, 864 GB/s, 350 W. The sheet's 362.05 is 1% below half of its
  own 733.
- RTX 4090: NVIDIA Ada GPU architecture white paper from version 2.02 on, appendix A, rows with
  FP32 accumulation: BF16 and FP16 165.2 | 330.4, FP8 330.3 | 660.6 (version 2.02 corrected this
  row), TF32 82.6 | 165.2; INT8 660.6 | 1,321.2; 24 GB, 1,008 GB/s, 450 W.
- H100 SXM5: NVIDIA H100 Tensor Core GPU architecture white paper, version 1.04, tables 1 and 3:
  BF16 and FP16 989.4 | 1,978.9, TF32 494.7 | 989.4, FP8 and INT8 1,978.9 | 3,957.8; 700 W. 80 GB
  and 3.35 TB/s: NVIDIA H100 data sheet, whose peaks are the 2:4 ones alone.
- H200 SXM: NVIDIA H200 data sheet (hpc-datasheet-sc23-h200-datasheet-3002446): peaks of the H100,
  141 GB, 4.8 TB/s, 700 W.
- B200 SXM: NVIDIA Blackwell architecture technical brief, HGX B200 at 1,000 W: BF16 and FP16
  2,250 | 4,500, FP8 4,500 | 9,000, FP4 9,000 | 18,000. 180 GB and 7.7 TB/s: B200 data sheet;
  the announcement said 192 GB and 8 TB/s, version 2.1 of the brief 7.7 TB/s too. TF32 is left out.
- MI300X: AMD Instinct MI300X data sheet (amd-instinct-mi300x-data-sheet): BF16 and FP16
  1,307.4 | 2,614.9, FP8 and INT8 2,614.9 | 5,229.8; 192 GB, 5.3 TB/s, 750 W. TF32 is left out
  (653.7 here, 490.3 in table 1 of the CDNA 3 white paper).
- TPU v4, v5e, v5p, v6e: Google Cloud documentation, pages tpu/docs/v4, v5e, v5p and v6e: BF16 275,
  197, 459, 918; INT8 275, 393, 918, 1,836; 32 GiB, 16, 95, 32 GB; 1,200, 819, 2,765, 1,638 GB/s.
  INT8 of v5p: Google's announcement of 6 December 2023. One version of the v5e page prints
  800 GiBps for its 819 GBps. v4: 192 W, the largest measured; the pages print no power for the
  others. TPUs have no 2:4 mode.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from simlib.errors import InputError

DEFAULT_UTILISATION = 0.4  # of the dense peak; 38 to 43% reported for Llama 3 405B (2407.21783)


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
    name: str,
    memory: float,
    bandwidth: float,
    power: float | None,
    figures: Mapping[str, tuple[float, ...]],
) -> Accelerator:
    """From GB, GB/s, W and by precision the TFLOPS dense and, where there is such a mode, 2:4."""
    peak = {k: v[0] * 1e12 for k, v in figures.items()}
    peak_24 = {k: v[1] * 1e12 for k, v in figures.items() if len(v) > 1}
    return Accelerator(
        name,
        MappingProxyType(peak),
        MappingProxyType(peak_24),
        memory * 1e9,
        bandwidth * 1e9,
        power,
    )


_A100 = {
    "bf16": (312.0, 624.0),
    "fp16": (312.0, 624.0),
    "tf32": (156.0, 312.0),
    "int8": (624.0, 1248.0),
}
_L40S = {
    "bf16": (362.05, 733.0),
    "fp16": (362.05, 733.0),
    "tf32": (183.0, 366.0),
    "fp8": (733.0, 1466.0),
    "int8": (733.0, 1466.0),
}
_RTX4090 = {
    "bf16": (165.2, 330.4),
    "fp16": (165.2, 330.4),
    "tf32": (82.6, 165.2),
    "fp8": (330.3, 660.6),
    "int8": (660.6, 1321.2),
}
_HOPPER = {
    "bf16": (989.4, 1978.9),
    "fp16": (989.4, 1978.9),
    "tf32": (494.7, 989.4),
    "fp8": (1978.9, 3957.8),
    "int8": (1978.9, 3957.8),
}
_B200 = {
    "bf16": (2250.0, 4500.0),
    "fp16": (2250.0, 4500.0),
    "fp8": (4500.0, 9000.0),
    "fp4": (9000.0, 18000.0),
}
_MI300X = {
    "bf16": (1307.4, 2614.9),
    "fp16": (1307.4, 2614.9),
    "fp8": (2614.9, 5229.8),
    "int8": (2614.9, 5229.8),
}

CATALOGUE: MappingProxyType[str, Accelerator] = MappingProxyType(
    {
        d.name: d
        for d in (
            _device("v100", 32, 900, 300, {"fp16": (125.0,)}),
            _device("a100-40", 40, 1555, 400, _A100),
            _device("a100", 80, 2039, 400, _A100),
            _device("l40s", 48, 864, 350, _L40S),
            _device("rtx4090", 24, 1008, 450, _RTX4090),
            _device("h100", 80, 3350, 700, _HOPPER),
            _device("h200", 141, 4800, 700, _HOPPER),
            _device("b200", 180, 7700, 1000, _B200),
            _device("mi300x", 192, 5300, 750, _MI300X),
            _device("tpu-v4", 32 * 1.024**3, 1200, 192, {"bf16": (275.0,), "int8": (275.0,)}),
            _device("tpu-v5e", 16, 819, None, {"bf16": (197.0,), "int8": (393.0,)}),
            _device("tpu-v5p", 95, 2765, None, {"bf16": (459.0,), "int8": (918.0,)}),
            _device("tpu-v6e", 32, 1638, None, {"bf16": (918.0,), "int8": (1836.0,)}),
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
            raise InputError(
                f"overhead is at least 1 (no loss in the building), got {self.overhead}"
            )
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
    devices: int,
    checkpoint_minutes: float = 1.0,
    restart_minutes: float = 15.0,
    hours_between_failures: float = HOURS_BETWEEN_FAILURES,
) -> float:
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
