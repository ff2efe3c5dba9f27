"""How many processes train together, and who starts them. All give the same: a `Fitted`."""
