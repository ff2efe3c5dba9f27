"""`python -m secondread`: the same as the command `secondread`."""

from secondread.cli.main import main

main()
