"""What the programs of this package have in common: whose error it is, and whose progress bars are shown."""

import contextlib
from collections.abc import Iterator


PACKAGE = __package__


def raised_by_package(error: BaseException) -> bool:
    """Whether an error is one of this package's own, or was raised by its code: such a one says what to do.

    A program shows it as one line; a traceback would hide what it says. Errors of others keep theirs.
    """
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = "" if trace is None else trace.tb_frame.f_globals.get("__name__", "")
    return any(name.split(".")[0] == PACKAGE for name in (type(error).__module__, where))


@contextlib.contextmanager
def without_loading_bars() -> Iterator[None]:
    """Without the progress bars of transformers for what takes a second; ours are shown, and theirs again afterwards."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


__all__ = ["PACKAGE", "raised_by_package", "without_loading_bars"]
