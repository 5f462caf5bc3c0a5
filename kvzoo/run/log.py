"""A run's log file."""

import logging
import sys
from contextlib import contextmanager

from kvzoo.errors import KvzooError, WriteError
from kvzoo.files import writing
from kvzoo.run.folder import RunFolder

log = logging.getLogger("kvzoo")


class _LogFile(logging.FileHandler):
    def handleError(self, record: logging.LogRecord) -> None:
        """Ignore errors: a full disk is reported by what stops the run."""


@contextmanager
def logged(run_folder: RunFolder):
    """Write what is logged within to the run's log, and to stdout where logging is not configured."""
    with writing(run_folder.log):
        handler = _LogFile(run_folder.log, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    handlers: list[logging.Handler] = [handler]
    if not log.hasHandlers():
        handlers.append(logging.StreamHandler(sys.stdout))
        handlers[-1].setLevel(logging.INFO)
    for each in handlers:
        log.addHandler(each)
    level = log.level
    log.setLevel(logging.DEBUG)
    try:
        yield
    except KvzooError as error:
        # For the log file; the command line prints it to the terminal.
        log.debug("%s", error, exc_info=isinstance(error, WriteError))
        raise
    except BaseException:
        log.debug("stopped by an error", exc_info=True)
        raise
    finally:
        for each in handlers:
            log.removeHandler(each)
        log.setLevel(level)
        handler.close()
