"""What is left out of a source or kept together in it: pictures that are none, copies, contradictions."""
