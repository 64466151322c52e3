"""run a script of MMPose

Run a script that comes with MMPose, MMDetection or another OpenMMLab package,
such as MMPose's demos and analysis tools, without mmcv's compiled operators:

    mmpose-ssa run mmpose demo/inferencer_demo.py --help
"""
import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `run`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument('package', help='package, for instance mmpose')
    parser.add_argument('script', help='path of the script in the package, '
                        'for instance demo/inferencer_demo.py')
    parser.add_argument('arguments', nargs=argparse.REMAINDER, metavar='...',
                        help='arguments of the script')


def run(args: argparse.Namespace) -> int:
    """Find the script and run it; show its errors with their traceback."""
    from ..engine.scripts import find_script, run_script
    path = find_script(args.package, args.script)
    try:
        run_script(path, args.arguments)
    except (ImportError, OSError, ValueError):
        # not a mistake in the arguments of `run`: with its traceback
        import traceback
        traceback.print_exc()
        return 1
    return 0
