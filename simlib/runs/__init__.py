"""A run: what to train, its shape, what was measured, and tables of many, ours and others'."""
