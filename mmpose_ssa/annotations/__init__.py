"""COCO annotation files, read and checked; without torch and MMPose."""
