"""Prediction, pictures, reports, and the refining of result files."""
