"""The second reader behind the Open Inference Protocol."""
