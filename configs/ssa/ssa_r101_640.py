# Table 1, ResNet-101 at 640: the base as it is.
_base_ = ['../_base_/ssa.py']
