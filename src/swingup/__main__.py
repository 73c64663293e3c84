"""`python -m swingup` is the command `swingup`."""

from swingup.cli import main

main()
