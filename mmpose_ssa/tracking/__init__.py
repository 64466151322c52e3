"""Ids of persons across the frames of a video; numpy and scipy only."""
from .persons import FrameAttention, FramePersons
from .tracker import Tracker, TrackOptions

__all__ = ['FrameAttention', 'FramePersons', 'TrackOptions', 'Tracker']
