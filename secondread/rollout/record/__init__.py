"""What is kept of rollouts, so that a controller that was killed goes on where it was."""
