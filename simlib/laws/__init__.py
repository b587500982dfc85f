"""Forms of law, each a value that answers: what it says, what follows from it, what it costs."""
