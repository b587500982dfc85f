"""The one exception for what a user can get wrong."""

HEAD, TAIL = 1200, 300  # characters of a sentence that are kept where a value in it is far too long


class InputError(ValueError):
    """A mistake in what the user asked for: one sentence naming the value and the remedy."""

    def __init__(self, sentence: object = "") -> None:
        text = str(sentence)
        whole = len(text) <= HEAD + TAIL
        super().__init__(text if whole else f"{text[:HEAD]} ... {text[-TAIL:]}")
