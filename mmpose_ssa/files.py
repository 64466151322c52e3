"""Files that are written as a whole or not at all."""
import os
from pathlib import Path
from typing import Union


def write_whole(content: Union[bytes, str], path: Union[str, Path]) -> None:
    """Write a file completely or not at all; create its folder.

    Args:
        content: Text is written as UTF-8.
        path: The file; an existing one is replaced.

    Raises:
        OSError: With the file's name; an existing file stays unchanged.
    """
    path = os.fspath(path)
    temporary = f'{path}.tmp'
    os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
    try:
        if os.path.lexists(temporary):  # of a kill; a link is not followed
            os.remove(temporary)
        with open(temporary, 'xb') as stream:
            # file names may not be valid Unicode: such bytes become '?'
            stream.write(content.encode('utf-8', 'replace')
                         if isinstance(content, str) else content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if os.path.lexists(temporary):
            os.remove(temporary)
        raise OSError(error.errno, error.strerror, path) from error
