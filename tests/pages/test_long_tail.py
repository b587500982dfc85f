"""The page on a long tail: its pictures, and what it says of runs that leave the forecast."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from simlib.analysis.longtail import ClassCosts
from simlib.errors import InputError
from simlib.pages import long_tail

SHARES = np.array([0.5, 0.3, 0.15, 0.05])
FOUND = ClassCosts(
    np.array([1.0, 10.0, 100.0, 1000.0]),
    np.array([5.0, 2.0, 0.5, 0.1]),
    np.full(4, 0.01),
    np.full(4, 50),
)
DATA = np.array([200.0, 400.0, 800.0, 1600.0])


def test_pictures_are_an_image_with_a_text_of_every_pixel():
    images = np.random.default_rng(0).integers(0, 200, (2, 3, 4, 5, 1)).astype(np.uint8)
    shown = long_tail.Pictures(images, 'what is "seen" here')._repr_html_()
    assert 'alt="what is &quot;seen&quot; here"' in shown
    sheet = Image.open(io.BytesIO(base64.b64decode(shown.split("base64,")[1].split('"')[0])))
    zoom, gap = long_tail.ZOOM, long_tail.GAP
    assert sheet.size == (3 * (5 + gap) * zoom, 2 * (4 + gap) * zoom)
    pixels = np.asarray(sheet)[::zoom, ::zoom]
    np.testing.assert_array_equal(
        pixels[4 + gap : 8 + gap, 5 + gap : 10 + gap], images[1, 1, :, :, 0]
    )


def test_errors_are_those_of_the_runs():
    told = long_tail.forecast(SHARES, FOUND, DATA)
    said = long_tail.errors((DATA, told * np.array([1.0, 1.05, 1.0, 2.0])), FOUND, SHARES, 200)
    assert (
        said
        == "within 5% on up to 4 times the data, and at 8 times the loss is 2.0 times the forecast"
    )


def test_runs_that_are_all_too_short_or_too_long_are_refused():
    with pytest.raises(InputError, match="no run saw 2K to 8K images"):
        long_tail.errors((DATA, DATA), FOUND, SHARES, 2000)


def test_powers_are_over_the_amounts_that_all_sizes_have():
    more = np.concatenate([[100.0], DATA])
    measured = {10: (more, more**-0.25), 20: (DATA, DATA**-0.75)}
    table = long_tail.size_table(measured, FOUND, SHARES, 1.5)
    assert table.header[1:] == ("200 to 1,600 images", "800 to 1,600 images")
    powers = {name: (whole, end) for name, whole, end in table.rows}
    assert powers["10 dense weights"] == ("0.25", "0.25")
    assert powers["20 dense weights"] == ("0.75", "0.75")
    assert powers["endless tail"] == ("0.33", "0.33")
