"""What the model is worth beside a physician: what it closes, escalates, catches and misses."""
