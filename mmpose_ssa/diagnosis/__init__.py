"""Errors of keypoint results and the AP that each costs; numpy only."""
from .evaluator import Diagnosis, diagnose

__all__ = ['Diagnosis', 'diagnose']
