"""The one exception for what a user can get wrong."""


class InputError(ValueError):
    """A mistake in what the user asked for: one sentence naming the value and the remedy."""
