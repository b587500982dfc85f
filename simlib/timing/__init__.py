"""What zeros gain on this machine: products and whole models timed against dense ones."""
