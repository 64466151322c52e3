"""JSON files, read alike on every computer."""
import json
from pathlib import Path
from typing import Any, Union


def read_json(path: Union[str, Path]) -> Any:
    """Read a JSON file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not JSON.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'{path} does not exist: correct the path')
    return parse_json(Path(path).read_bytes(), str(path))


def parse_json(content: bytes, name: str) -> Any:
    """Read JSON in UTF-8 (or UTF-16, UTF-32), whatever the locale.

    Args:
        content: Of the file.
        name: What to call the file in an error.

    Raises:
        ValueError: If it is empty, damaged, or nested too deeply.
    """
    if not content.strip():
        raise ValueError(f'{name} is empty: it was not written to the end; '
                         'unpack or write it again')
    try:
        return json.loads(content)
    except UnicodeDecodeError as error:
        raise ValueError(f'{name} is not JSON in UTF-8 ({error}): save it in '
                         'this encoding, or unpack it again') from error
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f'{name} is not JSON ({error}): it is damaged or was not written '
            'to the end; unpack or write it again') from error
