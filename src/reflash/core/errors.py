"""The one exception a user is meant to read."""


class ReflashError(Exception):
    """Something the user can mend: one line naming the file or key, and the remedy.

    The command line prints the message after ``error:`` and exits with status 1; anything else
    that escapes is a defect of the program and keeps its traceback.
    """
