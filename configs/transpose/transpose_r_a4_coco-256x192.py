# TransPose-R-A4, the refiner of section 3.1: the base as it is.
_base_ = ['../_base_/transpose.py']
