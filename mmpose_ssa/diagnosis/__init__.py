"""Errors of keypoint results and the AP that each costs; numpy only."""
