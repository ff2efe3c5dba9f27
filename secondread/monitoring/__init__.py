"""What a model that is served is watched by. Reached by the server, so it needs numpy alone."""
