"""Count parameters and multiply-adds, the paper's way and truly.

    python tools/complexity.py configs/ssa/ssa_r101_640.py ...
"""
import argparse
from typing import Dict

from mmengine.registry import init_default_scope
from mmpose.registry import MODELS

from mmpose_ssa.engine.loading import read_config
from mmpose_ssa.evaluation.complexity import count


def counts(config: str) -> Dict[str, int]:
    """What :func:`count` finds of the model of a config.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no config of a bottom-up model.
    """
    cfg = read_config(config)
    try:
        size = cfg.model.head.decoder.input_size
    except AttributeError as error:
        raise ValueError(
            f'{config} has no model with a head and its decoder: give a leaf '
            'of configs/ssa/ or configs/comparisons/') from error
    init_default_scope(cfg.get('default_scope', 'mmpose'))
    cfg.model.backbone.init_cfg = None
    return count(MODELS.build(cfg.model), size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('configs', nargs='+', help='configs of SSA models')
    args = parser.parse_args()
    try:
        found = {config: counts(config) for config in args.configs}
    except (FileNotFoundError, ValueError) as error:
        parser.error(str(error))
    print(f'{"":44} {"as Table 7":>18} {"true":>18}')
    for config, n in found.items():
        print(f'{config:44}', *(
            f'{n[f"params{way}"] / 1e6:7.2f} M {n[f"macs{way}"] / 1e9:6.1f} G'
            for way in ('_table7', '')))


if __name__ == '__main__':
    main()
