"""Supervised self-attention (SSA) for bottom-up pose estimation, in MMPose.

Importing the package costs nothing: what it offers is imported when it is
asked for. A config names :mod:`mmpose_ssa.register` in ``custom_imports``, so
that MMPose finds the classes.
"""
__version__ = '0.1.0'
