"""write a model as ONNX

Write an SSA model as one ONNX file, for inputs of any size, and check it
against PyTorch. `mmpose_ssa.apis.onnx` finds people with it, without PyTorch.
"""
import argparse

from .options import add_model, check_model, parse_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `export`."""
    add = parser.add_argument
    add('--out', required=True, metavar='FILE.onnx', help='file to write')
    add_model(parser)


def run(args: argparse.Namespace) -> int:
    """Export the model, and print how exactly it equals PyTorch's."""
    check_model(args)
    if not args.out.endswith('.onnx'):
        raise ValueError(f'--out {args.out}: give a file that ends in .onnx')
    options = parse_options(args.cfg_options)
    from ..apis.export import export
    from ..apis.inferencer import bundled
    from ..engine.loading import read_config
    config, checkpoint = args.config, args.checkpoint
    if config is None:
        config, checkpoint = bundled(args.model or 'photos')
    cfg = read_config(config)
    cfg.merge_from_dict(options)
    differences = export(cfg, checkpoint, args.out)
    print(f"{args.out}: heatmaps equal PyTorch's within "
          f'{differences["heatmaps"]:.1e}, attention within '
          f'{differences["attention"]:.1e}')
    return 0
