"""What run tables and laws are called in sentences: the names of files are for the command line."""

from __future__ import annotations

import re

TABLES = {
    "gpt-laptop": "our GPT runs",
    "gpt-laptop-half": "the larger half of our GPT runs",
    "gpt-plateau": "our first GPT runs",
    "vit-laptop": "our ViT runs",
    "t5-laptop": "our T5 runs",
    "holdout-laptop": "our held-out GPT runs",
    "optimum-laptop": "our runs at the predicted optimum",
    "bits-laptop": "our runs of zeros and few bits",
    "bytes-laptop": "our runs of one number of bytes",
    "nm-laptop": "our runs with n:m patterns",
    "pruners-laptop": "our runs of other pruners",
    "pretrained-laptop": "our runs from trained models",
    "embeddings-laptop": "our runs with dense embeddings",
    "kinds-laptop": "our runs of kinds of sparsity",
    "own-tables": "all our tables together",
    "cifar-laptop": "our runs on photographs",
    "gpt-recipe": "our search for a GPT recipe",
    "vit-recipe": "our search for a ViT recipe",
    "t5-recipe": "our search for a T5 recipe",
    "gpt-pilot": "our first GPT pilot",
    "gpt-pilot2": "our second GPT pilot",
    "gpt-pilot3": "our third GPT pilot",
    "vit-pilot": "our first ViT pilot",
    "vit-pilot2": "our second ViT pilot",
    "vit-pilot3": "our third ViT pilot",
    "t5-pilot": "our first T5 pilot",
    "t5-pilot2": "our second T5 pilot",
    "vit-jft": "ViT on JFT-4B, published",
    "vit-jft-authors": "ViT on JFT-4B, the authors' procedure run again",
    "vit-jft-refit": "ViT on JFT-4B, fitted again",
    "t5-c4": "T5 on C4, published",
    "t5-c4-authors": "T5 on C4, the authors' procedure run again",
    "t5-c4-authors-sum": "T5 on C4, the authors' procedure with the sum of errors",
    "t5-c4-held-out": "T5-XL",
    "t5-c4-refit": "T5 on C4, fitted again",
    "t5-c4-refit-body": "T5 on C4, weights as built",
    "t5-c4-refit-total": "T5 on C4, embeddings counted",
    "clark-sbase": "S-Base experts along their runs",
    "clark-rlr": "RL-R experts along their runs",
    "clark-hash": "Hash experts along their runs",
    "clark-sbase-ends": "S-Base experts",
    "clark-rlr-ends": "RL-R experts",
    "clark-hash-ends": "Hash experts",
    "scalebench-sparsity": "upcycled experts",
    "gemstones-hot": "Gemstones before cooldown",
    "gemstones-cool": "Gemstones after cooldown",
    "farseer": "Farseer",
    "farseer-line": "Farseer near 20 tokens a parameter",
    "farseer-one-budget": "Farseer at one budget",
    "farseer-corners": "the corners of Farseer's grid",
    "data-constrained-fresh": "Muennighoff's fresh data",
    "quest-dense": "QuEST at 16 bits",
}
DATA = {"gpt": "Bytes seen", "t5": "Bytes that the encoder saw", "vit": "Images seen"}


def nats(family: str) -> str:
    """The unit of the losses that this book trains in a family."""
    return "nats per image" if family == "vit" else "nats per byte"


_NAMES = re.compile(
    rf"(?<![\w-])({'|'.join(sorted(map(re.escape, TABLES), reverse=True))})(?![\w-])"
)


def spoken(text: str) -> str:
    """`text` with every name of a table or law in words; other names stay as they are."""
    return _NAMES.sub(lambda found: TABLES[found[0]], text)
