"""`python -m mmpose_ssa` is the command `mmpose-ssa`."""
from .cli import main

if __name__ == '__main__':
    main()
