"""What the model knows, measured on the graph that is served."""
