"""Prediction, pictures, and the refining of result files."""
