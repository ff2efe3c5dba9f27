"""What is seen of both versions in a window of time, and the Prometheus that knows it."""
