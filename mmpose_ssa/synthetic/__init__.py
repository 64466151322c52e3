"""Synthetic people in COCO format; numpy and OpenCV only."""
