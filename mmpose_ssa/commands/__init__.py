"""The sub-commands of `mmpose-ssa`, a module each.

Each has a docstring, whose first line is the help and whose text is the
description; ``add_arguments(parser)``; and ``run(args)``, which returns the
exit status and raises OSError or ValueError if the user's input is wrong.
Nothing heavy is imported before ``run``.
"""
