"""Make a small weights file of a checkpoint: half precision, no optimizer.

    python tools/publish.py work_dirs/ssa_demo/epoch_7.pth weights/ssa_demo.pth
"""
import argparse
from pathlib import Path

import torch
from mmengine.runner import CheckpointLoader

import mmpose_ssa  # noqa: F401 (lets MMEngine's checkpoints be loaded)


def published(checkpoint: dict) -> dict:
    """Weights in float16, statistics and vectors in float32, and metainfo."""
    state = {
        name: tensor.half() if tensor.dim() > 1 else tensor
        for name, tensor in checkpoint['state_dict'].items()
    }
    meta = checkpoint.get('meta', {})
    kept = {key: meta[key] for key in ('dataset_meta', 'epoch', 'seed')
            if key in meta}
    return dict(state_dict=state, meta=kept)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('checkpoint', help='of a training')
    parser.add_argument('out', help='file to write')
    args = parser.parse_args()
    small = published(CheckpointLoader.load_checkpoint(args.checkpoint, 'cpu'))
    Path(args.out).parent.mkdir(parents=True, exist_ok=True)
    torch.save(small, args.out)
    print(f'{args.out}: {Path(args.out).stat().st_size / 1e6:.2f} MB')


if __name__ == '__main__':
    main()
