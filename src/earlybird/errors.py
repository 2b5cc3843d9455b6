"""The two ways in which earlybird ends early on purpose."""


class InputError(ValueError):
    """An argument, a setting or a file cannot be used; the message names it, the bound and the way out.

    The command line prints it as one sentence and exits with status 2.
    """


class JobError(RuntimeError):
    """A job was asked for correctly and failed while it ran; what was written before it stays.

    The command line prints it as one sentence and exits with status 1.
    """


def first_line(error: Exception) -> str:
    """Another's error in one line."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
