"""Damages JSON content at random, for tests of what reads strangers' files."""
import copy
from typing import Any, Iterator

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

FAST = settings(max_examples=200, deadline=None, derandomize=True,
                database=None, suppress_health_check=list(HealthCheck))
SLOW = settings(FAST, max_examples=5000)

NUMBERS = st.one_of(
    st.integers(-3, 43), st.floats(-50, 90), st.floats(), st.integers(),
    st.sampled_from([0, -1, 1e10, -1e300, 2**31, 2**32, 2**53, 2**63, 10**400,
                     32767, .45, .5]))
JUNK = st.recursive(
    st.one_of(NUMBERS, st.none(), st.booleans(), st.text(max_size=8),
              st.sampled_from(['', '1', 'person', 'counts', '0' * 50, 'P'])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=8),
        st.dictionaries(st.sampled_from(['size', 'counts', 'id', 'x']), inner,
                        max_size=3)), max_leaves=9)
KINDS = ('replace', 'replace', 'remove', 'copy', 'cut', 'swap')


def places(entry: Any, path: tuple = ()) -> Iterator[tuple]:
    """The paths to all values inside JSON content."""
    keys = (entry if isinstance(entry, dict)
            else range(len(entry)) if isinstance(entry, list) else ())
    for key in keys:
        yield (*path, key)
        yield from places(entry[key], (*path, key))


@st.composite
def damaged(draw, good: Any):
    """A copy of good content with one to three entries changed."""
    content = copy.deepcopy(good)
    for _ in range(draw(st.integers(1, 3))):
        found = list(places(content))
        if not found:
            break
        *way, last = draw(st.sampled_from(found))
        parent = content
        for key in way:
            parent = parent[key]
        value, kind = parent[last], draw(st.sampled_from(KINDS))
        if kind == 'remove':
            del parent[last]
        elif kind == 'copy' and isinstance(parent, list):
            parent.insert(draw(st.integers(0, len(parent))),
                          copy.deepcopy(value))
        elif kind == 'cut' and isinstance(value, (list, str)) and value:
            parent[last] = value[:draw(st.integers(0, len(value) - 1))]
        elif kind == 'swap':
            other = draw(st.sampled_from(list(places(good))))
            parent[last] = copy.deepcopy(_value(good, other))
        else:
            parent[last] = draw(JUNK)
    return content


def _value(content: Any, path: tuple) -> Any:
    for key in path:
        content = content[key]
    return content
