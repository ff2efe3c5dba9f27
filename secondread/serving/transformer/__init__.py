"""From the bytes of an image to an answer in words, with Triton in between; and who is let in to ask."""
