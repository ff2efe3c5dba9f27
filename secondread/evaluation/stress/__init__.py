"""What breaks the model: corruptions, behaviour, known failures, and images that are none of its field."""
