"""The command line, thin: it reads arguments, calls one library function and prints what it gave."""
