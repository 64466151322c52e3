"""From heatmaps and attention rows to persons with masks; numpy only.

:func:`decode` is the way through, as sections 2.4 and 2.5 of "Attend to Who
You Are" have it.
"""
from .decoder import DecodedPersons, decode
from .options import DecodeOptions

__all__ = ['DecodeOptions', 'DecodedPersons', 'decode']
