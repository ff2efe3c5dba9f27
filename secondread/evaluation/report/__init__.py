"""An evaluation for people: the page, its pictures, and the model card."""
