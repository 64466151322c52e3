"""Reading, renaming and saving weights."""
import os
import re
import tempfile
from pathlib import Path
from typing import Callable, Dict, List

import torch
import torch.nn as nn
from torch import Tensor

from mmpose_ssa.engine.unpickling import read


def read_weights(path: str) -> Dict[str, Tensor]:
    """Tensors by name; nothing of the file is run.

    Args:
        path: A file of weights, or a checkpoint with a ``state_dict``.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is no whole file of weights.
    """
    content = read(path)
    if isinstance(content, dict):
        content = content.get('state_dict', content)
    if not isinstance(content, dict) or not all(
            isinstance(name, str) and isinstance(value, Tensor)
            for name, value in content.items()):
        raise ValueError(f'{path} does not hold weights by name: give the '
                         'file of a published model')
    return {re.sub(r'^module\.', '', name): value
            for name, value in content.items()}


def renamed(weights: Dict[str, Tensor], model: nn.Module,
            name_of: Callable[[str], str]) -> Dict[str, Tensor]:
    """The weights under the names of a model's.

    Args:
        weights: Tensors by their published names.
        model: The model that they belong to.
        name_of: What the publisher calls one of the model's weights.

    Raises:
        ValueError: If weights are missing, unknown or of another shape.
    """
    own = model.state_dict()
    names = {name: name_of(name) for name in own}
    # Counts that older versions of PyTorch did not store, nor anyone reads
    counts = {names[name]: value for name, value in own.items()
              if name.endswith('num_batches_tracked')}
    weights = {**counts, **weights}
    faults = {
        'missing': [old for old in names.values() if old not in weights],
        'unexpected': sorted(set(weights) - set(names.values())),
        'of another shape': [
            f'{old} {tuple(weights[old].shape)} instead of '
            f'{tuple(own[name].shape)}' for name, old in names.items()
            if old in weights and weights[old].shape != own[name].shape],
    }
    if any(faults.values()):
        raise ValueError('a checkpoint of another model: ' + '; '.join(
            f'{fault}: {listed(found)}' for fault, found in faults.items()
            if found))
    return {name: weights[old] for name, old in names.items()}


def listed(names: List[str]) -> str:
    """The number and the first of them."""
    dots = ', ...' if len(names) > 5 else ''
    return f'{len(names)} ({", ".join(names[:5])}{dots})'


def save_weights(model: nn.Module, out: str) -> None:
    """Write a model's weights and data set, all of the file or nothing.

    Args:
        model: With ``dataset_meta``, as MMPose's ``init_model`` returns it.
        out: The file; folders are made as needed.

    Raises:
        OSError: If it cannot be written.
    """
    path = Path(out)
    if path.is_dir():
        raise IsADirectoryError(
            f'{out} is a folder: give the name of a file to write')
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        torch.save(dict(meta=dict(dataset_meta=model.dataset_meta),
                        state_dict=model.state_dict()),
                   Path(folder) / path.name)
        os.replace(Path(folder) / path.name, path)
