"""Hardware: figures that hang together, and time, money and memory that follow from them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simlib.errors import InputError
from simlib.simulate.footprint import (
    STORAGE,
    activation_bytes,
    inference_bytes,
    least_devices,
    storage,
    training_bytes,
    typical_shape,
)
from simlib.simulate.hardware import CATALOGUE, Cluster, accelerator, lost_to_restarts

sparsities = st.floats(0, 0.98)


@pytest.mark.parametrize(
    ("name", "precision", "units", "flop_per_cycle", "clock"),
    [
        ("v100", "fp16", 80, 1024, 1.53e9),
        ("a100", "bf16", 108, 2048, 1.41e9),
        ("h100", "bf16", 132, 4096, 1.83e9),
        ("b200", "bf16", 148, 8192, 1.86e9),
        ("l40s", "bf16", 142, 1024, 2.52e9),
        ("rtx4090", "bf16", 128, 512, 2.52e9),
        ("mi300x", "bf16", 304, 2048, 2.1e9),
        ("tpu-v4", "bf16", 8, 2 * 128**2, 1.05e9),
        ("tpu-v5e", "bf16", 4, 2 * 128**2, 1.5e9),
        ("tpu-v5p", "bf16", 8, 2 * 128**2, 1.75e9),
    ],
)
def test_a_dense_peak_is_that_of_the_units_at_their_clock(
    name, precision, units, flop_per_cycle, clock
):
    """A vendor's 2:4 peak entered as a dense one would be twice the product of the hardware."""
    dense = accelerator(name).flops_per_second(precision)
    assert dense == pytest.approx(units * flop_per_cycle * clock, rel=0.02)


@pytest.mark.parametrize("name", CATALOGUE)
def test_two_four_doubles_every_peak_of_a_device_with_that_mode(name):
    device = CATALOGUE[name]
    has_mode = not name.startswith(("v100", "tpu"))
    assert set(device.peak_24) == (set(device.peak) if has_mode else set())
    for precision, dense in device.peak.items():
        gain = device.flops_per_second_24(precision) / dense
        # a sheet rounds the two figures each by itself: the L40S's are the farthest apart
        assert gain == pytest.approx(2 if has_mode else 1, rel=0.015)


@pytest.mark.parametrize("name", CATALOGUE)
def test_half_the_width_is_twice_the_peak(name):
    peak = CATALOGUE[name].peak
    for wide, narrow in (("tf32", "bf16"), ("bf16", "fp8"), ("fp8", "fp4")):
        if wide in peak and narrow in peak:
            assert peak[narrow] == pytest.approx(2 * peak[wide], rel=0.015)
    if "bf16" in peak:
        assert peak.get("fp16", peak["bf16"]) == peak["bf16"]
        assert peak.get("int8", peak["bf16"]) >= peak["bf16"]


@pytest.mark.parametrize(("old", "new"), [("a100-40", "a100"), ("h100", "h200")])
def test_the_same_chip_with_more_memory_computes_no_faster(old, new):
    before, after = accelerator(old), accelerator(new)
    assert after.peak == before.peak
    assert after.memory > 1.5 * before.memory
    assert after.bandwidth > before.bandwidth


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_device_is_plausible(name):
    device = CATALOGUE[name]
    assert all(5e13 < dense < 1e16 for dense in device.peak.values())
    assert 50 < max(device.peak.values()) / device.bandwidth < 2000  # FLOP for each byte read
    assert 5e-3 < device.memory / device.bandwidth < 0.1  # s to read all of the memory


def test_two_devices_take_half_the_days_and_the_same_hours_money_and_energy():
    one, two = (Cluster(accelerator("h100"), n, price=2.0) for n in (1, 2))
    assert two.days(1e21) == pytest.approx(one.days(1e21) / 2)
    assert two.device_hours(1e21) == pytest.approx(one.device_hours(1e21))
    assert two.money(1e21) == pytest.approx(2.0 * one.device_hours(1e21))
    assert two.energy(1e21) == pytest.approx(one.device_hours(1e21) * 0.7 * 1.2)
    assert one.device_hours(one.flops_per_device_hour) == pytest.approx(1)


def test_what_is_not_published_is_none_and_not_zero():
    assert Cluster(accelerator("tpu-v5e")).energy(1e20) is None
    assert Cluster(accelerator("h100")).money(1e20) is None


def test_time_lost_to_failures_is_that_of_the_best_interval_and_grows_with_the_cluster():
    lost = [lost_to_restarts(n) for n in (8, 1024, 16384)]
    assert lost == sorted(lost)
    # Llama 3 reports more than 90% effective time on 16,384 devices
    assert 0.02 < lost[-1] < 0.2
    between, save = 60 * 1000 / 1000, 2.0
    intervals = np.linspace(1, 200, 20_000)
    least = (save / intervals + intervals / (2 * between)).min()
    found = lost_to_restarts(1000, save, restart_minutes=0, hours_between_failures=1000)
    assert found == pytest.approx(least, rel=1e-4)


@settings(deadline=None)
@given(sparsities, st.floats(1e6, 1e12))
def test_training_memory_follows_the_places_and_serving_memory_the_values(S, N):
    assert training_bytes(S, N) == pytest.approx(training_bytes(0, N) / (1 - S), rel=0.07)
    kept = inference_bytes(S, N, storage("bitmask"))
    assert kept >= 2 * N
    assert kept <= inference_bytes(S, N, STORAGE["dense"]) * (1 + 1e-12)


def test_two_four_keeps_nine_sixteenths_of_the_dense_bytes():
    dense = inference_bytes(0.0, 1e9, storage("dense"))
    assert inference_bytes(0.5, 0.5e9, storage("2:4")) / dense == pytest.approx(9 / 16)


def test_a_typical_shape_has_the_parameters_and_activations_shrink_by_recomputing():
    width, depth = typical_shape(175e9)
    assert 12 * width**2 * depth == pytest.approx(175e9)
    assert width == pytest.approx(12288, rel=0.05)  # GPT-3
    assert depth == pytest.approx(96, rel=0.05)
    full = activation_bytes(0.5, 1e9, 2048, recompute=False)
    assert activation_bytes(0.5, 1e9, 2048) == pytest.approx(full / 17)


def test_devices_that_hold_a_model():
    assert least_devices(16 * 70e9, 80e9) == 16
    assert least_devices(1.0, 80e9) == 1


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: accelerator("h1000"), "unknown accelerator 'h1000': choose one of v100"),
        (lambda: accelerator("v100").flops_per_second("bf16"), "choose fp16"),
        (lambda: Cluster(accelerator("h100"), 0), "at least 1 device"),
        (lambda: Cluster(accelerator("h100"), utilisation=40.0), r"in \(0, 1\], got 40"),
        (lambda: Cluster(accelerator("h100"), price=-1.0), "price"),
        (lambda: storage("zip"), "bitmask"),
        (lambda: lost_to_restarts(0), "positive"),
    ],
)
def test_impossible_hardware_is_refused(wrong, said):
    with pytest.raises(InputError, match=said):
        wrong()
