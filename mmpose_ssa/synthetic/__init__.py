"""Synthetic people in COCO format; numpy, OpenCV and pycocotools only."""
from .dataset import write_dataset
from .scene import Scene, draw_scene
from .skeleton import KEYPOINT_NAMES
from .video import draw_video, write_videos

__all__ = ['KEYPOINT_NAMES', 'Scene', 'draw_scene', 'draw_video',
           'write_dataset', 'write_videos']
