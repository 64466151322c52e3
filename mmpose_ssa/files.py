"""Files that are written as a whole or not at all."""
import os
from pathlib import Path
from typing import Union


def write_whole(content: Union[bytes, str], path: Union[str, Path]) -> None:
    """Write a file completely or not at all; create its folder.

    Devices and pipes, such as ``/dev/null``, are written to as they are.

    Args:
        content: Text is written as UTF-8.
        path: The file; an existing one is replaced.

    Raises:
        OSError: With the file's name; an existing file stays unchanged.
    """
    path = os.fspath(path)
    if isinstance(content, str):
        # file names may not be valid Unicode: such bytes become '?'
        content = content.encode('utf-8', 'replace')
    temporary = f'{path}.tmp'
    try:
        os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
        if _is_device(path):
            with open(path, 'wb') as stream:
                stream.write(content)
            return
        if os.path.lexists(temporary):  # of a kill; a link is not followed
            os.remove(temporary)
        with open(temporary, 'xb') as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if os.path.lexists(temporary):
            os.remove(temporary)
        raise OSError(error.errno, error.strerror, path) from error


def _is_device(path: str) -> bool:
    """Whether a name must not be given to a new file.

    ``/dev/stdout`` may be a link to a regular file.
    """
    folder = os.path.realpath(os.path.dirname(path) or '.')
    return folder == '/dev' or os.path.exists(path) and not (
        os.path.isfile(path) or os.path.isdir(path))
