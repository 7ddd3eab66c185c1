"""The command line: one module per group of commands.

Every command imports what it needs when it runs, so that ``reflash --help`` and commands without
networks start in a fraction of a second.
"""

from reflash.cli.app import main

__all__ = ["main"]
