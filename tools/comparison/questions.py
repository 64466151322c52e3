"""What of the paper is asked again, and which models answer.

A key for each question, as in docs/claims.md. The first entry is what the
others are compared with. An entry is a config of configs/claims/ and a
decoder; those that share a config share its training.
"""
from typing import Dict, NamedTuple, Tuple

# Decoder -> its options, after the config's own
DECODERS = {
    'ours': {},
    "the paper's": dict(matching='attraction', fill_missing=False),
    'body-first': dict(
        matching='attraction', fill_missing=False, grouping='body_first'),
    'scores': dict(fill_missing=False),
    'binary masks': dict(mask_mode='binary'),
}


class Entry(NamedTuple):
    """A model as one question looks at it."""
    label: str
    config: str  # after `ssa_crowd`
    decoder: str = 'ours'


class Question(NamedTuple):
    """Entries to be compared with the first."""
    text: str
    entries: Tuple[Entry, ...]


SUPERVISED = Entry('supervised, shared, layer 2', '')

QUESTIONS: Dict[str, Question] = {
    'a': Question('Does supervision help keypoints?', (
        Entry('naive', '_naive'), SUPERVISED)),
    'a-paper': Question("Does it with the paper's decoder?", (
        Entry('naive', '_naive', "the paper's"),
        Entry('supervised, shared, layer 2', '', "the paper's"))),
    'b': Question('Is a shared attention as good as an independent one?', (
        SUPERVISED, Entry('independent', '_independent'))),
    'c': Question('Does it matter which layer is supervised?', (
        SUPERVISED, Entry('layer 0, the first', '_layer0'),
        Entry('layer 1', '_layer1'), Entry('layer 3, the last', '_layer3'))),
    'c-g': Question('Do the best layer and the best weight add up?', (
        Entry('layer 2, beta 0.1', '_beta-high'),
        Entry('layer 0, beta 0.01', '_layer0'),
        Entry('layer 0, beta 0.1', '_layer0_beta-high'))),
    'd': Question('Which decoder groups best?', (
        Entry('part-first, as the paper', '', "the paper's"),
        Entry('body-first, as the paper', '', 'body-first'),
        Entry('matched by scores', '', 'scores'),
        Entry('matched by scores, missing keypoints filled', ''))),
    'f': Question('What do tokens, masks and Gaussians change?', (
        SUPERVISED, Entry('tokens of 16 px', '_stride16'),
        Entry('binary masks', '', 'binary masks'),
        Entry('Gaussians of 1 cell', '_sigma1'),
        Entry('Gaussians of 2 cells', '_sigma2'))),
    'g': Question('How much weight does the mask loss need?', (
        Entry('0 (naive)', '_naive'), Entry('0.001', '_beta-low'),
        Entry('0.01', ''), Entry('0.1', '_beta-high'))),
    'h': Question('Can keypoints replace masks as supervision?', (
        SUPERVISED, Entry('pairs of keypoints', '_pairs'))),
}
