"""How sure a figure is: bounds by resampling patients, and those of many comparisons at once."""
