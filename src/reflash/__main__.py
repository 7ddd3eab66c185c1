"""``python -m reflash``: the command line."""

from reflash.cli import main

main()
