"""What runs say: which won, by how much, what that is worth, and whether a law foresaw it."""
