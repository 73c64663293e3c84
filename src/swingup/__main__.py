"""`python -m swingup` is the command `swingup`."""

from swingup.cli import main

if __name__ == "__main__":
    main()
