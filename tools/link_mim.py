"""Let `mim` find the configs and tools of an editable installation.

`mim` searches only site-packages, where an editable installation has no folder
for the package. This script creates one that contains only links.
"""
import argparse
import sysconfig
from pathlib import Path
from typing import Optional, Sequence

ROOT = Path(__file__).resolve().parents[1]
LINKED = ('configs', 'tools', 'weights', 'model-index.yml')


def link(site_packages: Path) -> Path:
    """Make the links, or make them anew.

    Args:
        site_packages: Of the environment.

    Returns:
        The folder that holds them.

    Raises:
        FileExistsError: If the package is installed there itself.
    """
    package = site_packages / 'mmpose_ssa'
    if (package / '__init__.py').exists():
        raise FileExistsError(
            f'{package} is an installed package, which has its own configs: '
            'run `pip uninstall mmpose_ssa`, then `make setup`')
    folder = package / '.mim'
    folder.mkdir(parents=True, exist_ok=True)
    for name in LINKED:
        path = folder / name
        path.unlink(missing_ok=True)
        path.symlink_to(ROOT / name)
    return folder


def main(argv: Optional[Sequence[str]] = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.parse_args(argv)
    print(link(Path(sysconfig.get_path('purelib'))))


if __name__ == '__main__':
    main()
