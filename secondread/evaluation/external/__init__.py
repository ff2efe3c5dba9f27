"""Sets from elsewhere: their images and classes beside the model's own, and the drop against its own test."""
