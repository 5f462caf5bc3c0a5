"""Opening a video or a sound file, whatever its name is, in the same way on every release of PyAV."""

import os

import av

# A title in an unknown encoding is no reason to refuse a video: an error until PyAV 18, unless told otherwise; none from 19 on.
_ANY_TITLE = {"metadata_errors": "ignore"} if int(av.__version__.partition(".")[0]) < 19 else {}


def open_container(path: str | os.PathLike) -> av.container.InputContainer:
    """Open a file to read its streams, whatever its metadata are; to be closed, or used as a context.

    Raises:
        av.error.FFmpegError, OSError: it is not there, or nothing that FFmpeg knows.
    """
    return av.open(_url(path), **_ANY_TITLE)


def create_container(path: str | os.PathLike) -> av.container.OutputContainer:
    """Create a file to write streams to, in the format of its ending; to be closed, or used as a context.

    Raises:
        av.error.FFmpegError, OSError: it cannot be written, or nothing known has such an ending.
    """
    return av.open(_url(path), "w")


def _url(path: str | os.PathLike) -> str:
    # Without the prefix FFmpeg takes what stands before a colon for a protocol.
    return f"file:{os.fspath(path)}"
