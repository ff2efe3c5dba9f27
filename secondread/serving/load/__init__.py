"""Load on a running server, a verdict, and how much it bears."""
