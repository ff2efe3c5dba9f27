"""What is told of each request: log lines and traces."""
