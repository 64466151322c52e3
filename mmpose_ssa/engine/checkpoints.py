"""Checkpoints as MMEngine is given them and writes them, whatever the config.

MMEngine trusts a checkpoint. It unpickles it, runs the config text in it as
Python (``Runner.resume``), deletes the path that it names as the best one, and
deletes by the numbers that it lists. Here every file and address goes through
:mod:`.unpickling`, and what MMEngine would run or delete by is left out of it:

=====================================  =====================================
what the file holds                    what MMEngine is given
=====================================  =====================================
``meta``: ``config``, ``cfg``          neither; both are Python that it runs
``message_hub``: records of losses     the same, with its own statistics only
``message_hub``: ``best_score``, …     numbers, if they are finite
``message_hub``: ``keep_ckpt_ids``     a list of whole numbers
``message_hub``: ``best_ckpt``, …      under ``best_paths``, for the hook of
                                       :mod:`.long_runs` to check
``message_hub``: anything else         nothing: each run tells its own
=====================================  =====================================

Files are written under a temporary name first: each is whole or not there.
"""
import functools
import io
import math
import numbers
import os
import re
import stat
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any, Dict, Optional
from urllib.parse import urlparse

import mmengine.runner as mmengine_runner
import mmengine.runner.checkpoint as mmengine_checkpoint
import torch
from mmengine.fileio import get_file_backend
from mmengine.logging import HistoryBuffer, print_log
from torch import Tensor

from ..errors import RunError
from ..files import write_whole
from .pickle_program import shown
from .unpickling import UNSAFE_LOAD, CheckpointError, read

# Longer lists of kept files are not genuine
KEPT = 5000


class DownloadError(RunError, ConnectionError):
    """Weights that cannot be fetched; its text names the ways out."""


class WriteError(RunError, OSError):
    """A checkpoint that could not be written; its text names what is lost."""


# --- reading ----------------------------------------------------------------


# The name is shown: MMEngine logs 'Loads checkpoint by local backend'.
def load_from_local(filename: str, map_location=None) -> dict:
    """Read a file for MMEngine.

    Args:
        filename: The file.
        map_location: A device; whatever else `torch.load` takes means the CPU.

    Raises:
        FileNotFoundError: If there is no such file.
        CheckpointError: If it is damaged or holds more than data.
    """
    filename = os.path.expanduser(filename)
    if not os.path.isfile(filename):
        raise FileNotFoundError(f'checkpoint {filename!r} does not exist')
    device = map_location if isinstance(map_location, (str, torch.device)) \
        else 'cpu'
    if os.environ.get(UNSAFE_LOAD, '0') in ('1', 'y', 'yes', 'true'):
        warnings.warn(f'{UNSAFE_LOAD} is set: code that {filename} names is '
                      'run', stacklevel=2)
        content = torch.load(filename, device, weights_only=False)
        return without_paths(content, filename)
    torch.empty(0, device=device)  # else it would seem a fault of the file
    try:
        content = read(filename, device)
    except CheckpointError as error:
        raise CheckpointError(f'{error}{_instead(filename)}') from error
    return without_paths(without_code(content, filename), filename)


def _instead(filename: str) -> str:
    """A way out, if there is a whole checkpoint beside a bad one."""
    whole = newest_whole(os.path.dirname(filename) or '.', besides=filename)
    return f'. A whole one is {whole}' if whole else ''


def without_code(checkpoint: Any, filename: str) -> dict:
    """Remove the config texts from a checkpoint.

    Raises:
        CheckpointError: If a value is not of the type that its key requires.
    """
    if not isinstance(checkpoint, dict):
        raise CheckpointError(f'{filename} holds a '
                              f'{type(checkpoint).__name__}, not weights by '
                              'name: give the file of a training')
    weights = checkpoint.get('state_dict', checkpoint)
    if not isinstance(weights, dict) or not all(
            isinstance(name, str) and
            (weights is checkpoint or isinstance(value, Tensor))
            for name, value in weights.items()):
        raise CheckpointError(f'{filename} does not hold weights by name: '
                              'give the file of a training')
    meta = checkpoint.get('meta', {})
    if not isinstance(meta, dict):
        raise CheckpointError(f'{filename}: meta is no dict: {shown(meta)}')
    for key in ('epoch', 'iter', 'seed'):
        number = meta.get(key, 0)
        if number is not None and not _is_count(number):
            raise CheckpointError(f'{filename}: {key} is not a whole number '
                                  f'from 0 to 2^32: {shown(number)}')
    if 'config' in meta:  # MMEngine itself writes `cfg`, and runs `config`
        print_log(f'{filename}: meta.config is left out, because MMEngine '
                  'would run it as Python', 'current', 30)
    for key in ('config', 'cfg'):
        meta.pop(key, None)
    if not isinstance(meta.get('dataset_meta', {}), dict):
        del meta['dataset_meta']
    return checkpoint


def _is_count(number: Any) -> bool:
    return type(number) is int and 0 <= number < 2**32


def without_paths(checkpoint: dict, filename: str) -> dict:
    """Remove paths from the training records, so that nothing is deleted.

    Raises:
        CheckpointError: If these are not MMEngine's records.
    """
    hub = checkpoint.pop('message_hub', None)
    if not hub:
        return checkpoint
    parts = ('log_scalars', 'runtime_info', 'resumed_keys')
    if not isinstance(hub, dict) or not all(
            isinstance(hub.get(part), dict) for part in parts):
        raise CheckpointError(f'{filename}: message_hub lacks one of the '
                              f'parts {", ".join(parts)}')
    told = hub['runtime_info']
    scalars = {
        key: value
        for key, value in hub['log_scalars'].items()
        if isinstance(key, str) and isinstance(value, HistoryBuffer)
        and len(value.data[0])
    }
    info: Dict[str, Any] = {
        key: float(value)
        for key, value in told.items()
        if str(key).startswith('best_score') and _is_finite(value)
    }
    kept = told.get('keep_ckpt_ids')
    if isinstance(kept, list) and len(kept) <= KEPT and all(
            map(_is_count, kept)) and len(set(kept)) == len(kept):
        info['keep_ckpt_ids'] = kept
    checkpoint['message_hub'] = dict(
        log_scalars=scalars,
        runtime_info=info,
        resumed_keys={key: True for key in (*scalars, *info)})
    checkpoint['best_paths'] = {
        key: value
        for key, value in told.items()
        if str(key).startswith('best_ckpt') and is_path(value)
    }
    return checkpoint


def is_path(value: Any) -> bool:
    """Whether a system would take a value as the path of a file."""
    if type(value) is not str or len(value) > 4096 or '\0' in value:
        return False
    try:
        return len(os.fsencode(value)) <= 4096
    except UnicodeEncodeError:
        return False


def _is_finite(number: Any) -> bool:
    return isinstance(number, numbers.Real) and math.isfinite(number)


def load_url(url: str, model_dir: Optional[str] = None, map_location=None,
             progress: bool = True) -> dict:
    """Fetch weights into the cache of `torch.hub`, unless they are there.

    Raises:
        DownloadError: If they cannot be fetched.
    """
    folder = model_dir or os.path.join(torch.hub.get_dir(), 'checkpoints')
    file = os.path.join(folder, os.path.basename(urlparse(url).path))
    if not os.path.isfile(file):
        os.makedirs(folder, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, file, None, progress)
        except OSError as error:  # all of urllib's are
            raise DownloadError(
                f'{url} cannot be fetched ({error}). Without network there '
                'are three ways: save the file elsewhere and copy it to '
                f'{file}; or name a copy of it, for the weights that a '
                'training begins with `--cfg-options '
                'model.backbone.init_cfg.checkpoint=FILE`; or begin with '
                'random ones, `--cfg-options model.backbone.init_cfg=None`'
            ) from error
    return load_from_local(file, map_location)


def load_from_openmmlab(filename: str, map_location=None) -> dict:
    """Read a model of MMEngine's list by its name."""
    name = filename.partition('://')[2]
    name = mmengine_checkpoint.get_deprecated_model_names().get(name, name)
    place = mmengine_checkpoint.get_external_models()[name]
    if '://' not in place:
        home = mmengine_checkpoint._get_mmengine_home()
        place = os.path.join(home, place)
    return mmengine_checkpoint._load_checkpoint(place, map_location)


def load_from_nowhere(filename: str, map_location=None) -> dict:
    """Refuse an address whose files only MMEngine would read, unpickling."""
    raise CheckpointError(f'{filename} is not read from there: copy it to a '
                          'file and give that')


# --- the latest of a run ----------------------------------------------------


def is_whole(file: str) -> bool:
    """Whether a checkpoint was written to its end; not all of it is read."""
    try:
        if not stat.S_ISREG(os.stat(file).st_mode):  # a pipe never ends
            return False
        with zipfile.ZipFile(file) as archive:
            return any(name.endswith('/data.pkl')
                       for name in archive.namelist())
    except Exception:  # a damaged archive raises anything
        return False


def newest_whole(folder: str, besides: str = '') -> Optional[str]:
    """The checkpoint of the most epochs or iterations that is whole.

    Args:
        folder: Of a run.
        besides: One that is not taken.
    """
    found = []
    for path in Path(folder).glob('*.pth'):
        match = re.fullmatch(r'(?:epoch|iter)_([0-9]{1,18})\.pth', path.name)
        if match and not (besides and os.path.exists(besides)
                          and path.exists() and path.samefile(besides)):
            found.append((int(match[1]), str(path)))
    return next((path for _, path in sorted(found, reverse=True)
                 if is_whole(path)), None)


def find_latest_checkpoint(path: str) -> Optional[str]:
    """What ``--resume`` takes in the folder of a run.

    The one that ``last_checkpoint`` names, in the folder where it is now; if
    that is damaged or gone, the newest whole one, with a warning.

    Returns:
        The file; None if the run has written none yet.

    Raises:
        CheckpointError: If there are some, but none that is whole.
    """
    note = Path(path, 'last_checkpoint')
    named = ''
    if note.is_file():
        with open(note, errors='replace') as stream:
            named = stream.read(4097).strip()
    if not is_path(named):  # zeros, after the power went
        named = ''
    here = os.path.join(path, os.path.basename(named))
    for file in (here, named):
        if named and is_whole(file):
            return file
    whole = newest_whole(path)
    if whole:
        reason = f'{named} is damaged or not there' if named else \
            f'{note} is empty or not there'
        print_log(f'{reason}: the newest whole checkpoint is taken instead, '
                  f'{whole}', 'current', 30)
        return whole
    if named or any(Path(path).glob('epoch_*.pth')):
        raise CheckpointError(
            f'{named or path} is damaged or not there, and no other '
            f'checkpoint in {path} is whole: train anew without --resume, or '
            'give --resume the file of another run')
    print_log(f'{path} holds no checkpoint to be resumed', 'current')
    return None


# --- writing ----------------------------------------------------------------


def save_checkpoint(checkpoint: dict, filename: str, file_client_args=None,
                    backend_args=None) -> None:
    """MMEngine's function, which writes local files safely.

    Raises:
        WriteError: If the disk is full or the folder not writable.
    """
    if file_client_args or not type(get_file_backend(
            filename, backend_args=backend_args)).__name__ == 'LocalBackend':
        return _mmengine_save_checkpoint(checkpoint, filename,
                                         file_client_args, backend_args)
    stream = io.BytesIO()
    torch.save(checkpoint, stream)
    try:
        write_whole(stream.getvalue(), filename)
    except OSError as error:
        whole = newest_whole(os.path.dirname(filename))
        since = f'since {whole}' if whole else 'so far'
        raise WriteError(
            f'{filename} cannot be written ({error}): what was trained '
            f'{since} is lost. Make space, or the folder writable, and go on '
            'with --resume') from error


_mmengine_save_checkpoint = mmengine_checkpoint.save_checkpoint


def dump_config(runner: mmengine_runner.Runner) -> None:
    """MMEngine's method, which would write through a link in a given folder.

    Raises:
        RunError: If the copy of the config is a link.
    """
    name = runner.cfg.filename and os.path.basename(runner.cfg.filename)
    path = os.path.join(runner.work_dir, name or f'{runner.timestamp}.py')
    if os.path.islink(path):
        raise RunError(f'{path} is a link to {os.readlink(path)}: a copy of '
                       'the config would be written over that. Remove the '
                       'link, or give another --work-dir')
    _mmengine_dump_config(runner)


_mmengine_dump_config = mmengine_runner.Runner.dump_config


def install() -> None:
    """Give MMEngine these functions in place of its own."""
    register = functools.partial(
        mmengine_checkpoint.CheckpointLoader.register_scheme, force=True)
    register('', load_from_local)
    register(['open-mmlab://', 'openmmlab://'], load_from_openmmlab)
    register(['pavi://', r'(\S+\:)?s3://', r'(\S+\:)?petrel://'],
             load_from_nowhere)
    mmengine_checkpoint.load_url = load_url
    for function in (find_latest_checkpoint, save_checkpoint):
        for module in (mmengine_runner, mmengine_checkpoint,
                       sys.modules['mmengine.runner.runner'],
                       sys.modules['mmengine.runner._flexible_runner']):
            setattr(module, function.__name__, function)
    mmengine_runner.Runner.dump_config = dump_config
