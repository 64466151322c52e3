"""Count parameters and multiply-adds: all, and those that the paper counts.

    python tools/complexity.py configs/ssa/ssa_r101_640.py ...
"""
import argparse
from typing import Dict, Optional, Sequence

from shared.tables import markdown_table


def counts(config: str) -> Dict[str, int]:
    """What :func:`count` finds of the model of a config.

    The model has shapes and no values.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no config of a bottom-up model.
    """
    import torch
    from mmengine.registry import init_default_scope
    from mmpose.registry import MODELS

    from mmpose_ssa.engine.loading import read_config
    from mmpose_ssa.evaluation.complexity import count
    cfg = read_config(config)
    try:
        size = cfg.model.head.decoder.input_size
    except AttributeError as error:
        raise ValueError(
            f'{config} has no model with a head and its decoder: give one of '
            'configs/ssa/ or configs/comparisons/') from error
    init_default_scope(cfg.get('default_scope', 'mmpose'))
    cfg.model.backbone.init_cfg = None
    with torch.device('meta'):
        return count(MODELS.build(cfg.model), size)


def main(argv: Optional[Sequence[str]] = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('configs', nargs='+', help='configs of bottom-up '
                        'models')
    args = parser.parse_args(argv)
    try:
        found = {config: counts(config) for config in args.configs}
    except (FileNotFoundError, ValueError) as error:
        parser.error(str(error))
    print(markdown_table(
        ['config', 'M parameters as Table 7', 'G multiply-adds as Table 7',
         'M parameters', 'G multiply-adds'],
        [[config, *(
            f'{n[name + way] / unit:.{digits}f}' for way in ('_table7', '')
            for name, unit, digits in (('params', 1e6, 2), ('macs', 1e9, 1)))]
         for config, n in found.items()]))


if __name__ == '__main__':
    main()
