"""Make a small weights file of a checkpoint: half precision, no optimizer.

    python tools/publish.py work_dirs/ssa_demo/epoch_7.pth weights/ssa_demo.pth
"""
import argparse
import io
from pathlib import Path
from typing import Optional, Sequence


def published(checkpoint: dict) -> dict:
    """Weights in float16, statistics and vectors in float32, and metainfo.

    Raises:
        ValueError: If a weight is too large for half precision, or not finite.
    """
    state = {
        name: tensor.half() if tensor.dim() > 1 else tensor
        for name, tensor in checkpoint['state_dict'].items()
    }
    for name, tensor in state.items():
        if not tensor.isfinite().all():
            largest = checkpoint['state_dict'][name].abs().max().item()
            raise ValueError(f'{name} reaches {largest}, half precision only '
                             '65504: publish a checkpoint whose training did '
                             'not diverge')
    meta = checkpoint.get('meta', {})
    kept = {key: meta[key] for key in ('dataset_meta', 'epoch', 'seed')
            if key in meta}
    return dict(state_dict=state, meta=kept)


def read(file: str) -> dict:
    """A checkpoint of a training.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If the file is damaged, no checkpoint, or holds code.
    """
    if not Path(file).is_file():
        raise FileNotFoundError(f'{file} does not exist: give a checkpoint '
                                'of work_dirs/')
    from mmengine.runner import CheckpointLoader

    import mmpose_ssa.register  # noqa: F401  reads them as data
    checkpoint = CheckpointLoader.load_checkpoint(file, 'cpu')
    if 'state_dict' not in checkpoint:
        raise ValueError(f'{file} has no state_dict: give a checkpoint that '
                         'a training wrote')
    return checkpoint


def main(argv: Optional[Sequence[str]] = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('checkpoint', help='checkpoint of a training')
    parser.add_argument('out', help='file to write')
    args = parser.parse_args(argv)
    import torch  # after the arguments

    from mmpose_ssa.files import write_whole
    try:
        small = published(read(args.checkpoint))
        stream = io.BytesIO()
        torch.save(small, stream)
        write_whole(stream.getvalue(), args.out)
    except (OSError, RuntimeError, ValueError) as error:
        parser.error(str(error))
    print(f'{args.out}: {Path(args.out).stat().st_size / 1e6:.2f} MB')


if __name__ == '__main__':
    main()
