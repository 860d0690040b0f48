"""Lets ``python -m harness`` be the command."""

from harness.cli import main

if __name__ == "__main__":
    main()
