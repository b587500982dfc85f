"""Writers of small data sets whose contents can be told from what a loader returns."""

import io
import json
from pathlib import Path

import numpy as np

WORDS = ["sparse", "weights", "grow", "where", "gradients", "point", "and", "masks", "hold"]


def documents(count: int, seed: int = 0) -> list[str]:
    """Distinct texts of varying length."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(5, 60, count)
    return [f"{i}: " + " ".join(rng.choice(WORDS, n)) for i, n in enumerate(lengths)]


def encoded(number: int, side: int = 32) -> bytes:
    """A PNG of one colour that tells its number: red and green are its digits in base 256."""
    from PIL import Image

    colour = (number // 256, number % 256, 128)
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(buffer, "png")
    return buffer.getvalue()


def number_of(images: np.ndarray) -> np.ndarray:
    """The numbers that `encoded` put into images (B, H, W, 3)."""
    return images[:, 5, 5, 0].astype(int) * 256 + images[:, 5, 5, 1]


def write_image_parquet(path: Path, numbers: range, named: bool = True) -> None:
    """Images in the hub's layout, with class names in its notes or without."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [
        {"img": {"bytes": encoded(number), "path": f"{number}.png"}, "label": number % 10}
        for number in numbers
    ]
    names = [f"class {k}" for k in range(10)]
    features = {"label": {"names": names, "_type": "ClassLabel"}, "img": {"_type": "Image"}}
    notes = {"huggingface": json.dumps({"info": {"features": features if named else {}}})}
    pq.write_table(pa.Table.from_pylist(rows).replace_schema_metadata(notes), path)
