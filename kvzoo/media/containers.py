"""Open video and sound files of any name, in the same way on every release of PyAV."""

import os

import av

# A title in an unknown encoding is no reason to refuse a video; by default it is an error until PyAV 18.
_ANY_TITLE = {"metadata_errors": "ignore"} if int(av.__version__.partition(".")[0]) < 19 else {}


def open_container(path: str | os.PathLike) -> av.container.InputContainer:
    """Open a file for reading, whatever its metadata; close it, or use it as a context.

    Raises:
        av.error.FFmpegError, OSError: the file does not exist, or FFmpeg does not know its format.
    """
    return av.open(_url(path), **_ANY_TITLE)


def create_container(path: str | os.PathLike) -> av.container.OutputContainer:
    """Create a file for writing, in the format of its ending; close it, or use it as a context.

    Raises:
        av.error.FFmpegError, OSError: the file cannot be written, or no known format has its ending.
    """
    return av.open(_url(path), "w")


def _url(path: str | os.PathLike) -> str:
    # Without the prefix FFmpeg takes the part before a colon as a protocol.
    return f"file:{os.fspath(path)}"
