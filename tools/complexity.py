"""Count parameters and multiply-adds, the paper's way and truly.

    python tools/complexity.py configs/ssa/ssa_r101_640.py ...
"""
import argparse

from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS

from mmpose_ssa.complexity import count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('configs', nargs='+', help='configs of SSA models')
    args = parser.parse_args()
    print(f'{"":44} {"as Table 7":>18} {"true":>18}')
    for path in args.configs:
        cfg = Config.fromfile(path)
        init_default_scope(cfg.default_scope)
        cfg.model.backbone.init_cfg = None
        size = cfg.model.head.decoder.input_size
        n = count(MODELS.build(cfg.model), size)
        print(f'{path:44}', *(
            f'{n[f"params{way}"] / 1e6:7.2f} M {n[f"macs{way}"] / 1e9:6.1f} G'
            for way in ('_table7', '')))


if __name__ == '__main__':
    main()
