"""For whom the model is worse."""
