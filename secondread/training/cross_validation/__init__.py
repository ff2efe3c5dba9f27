"""Cross-validation: each image is judged once, by a model that has not seen its group."""
