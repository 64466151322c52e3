"""COCO annotation files, read and checked; numpy and pycocotools only."""
