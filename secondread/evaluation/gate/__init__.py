"""Whether a model may go on, with a reason for each line."""
