"""Trees of JSON with something else in them than belongs there."""

import copy
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

Path = tuple[str | int, ...]

GONE = object()

hostile = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -(10**25), 2**63, 0])
    | st.floats(allow_subnormal=False)
    | st.text(max_size=20)
    | st.sampled_from(
        ["../x", "\0", "\ud800", "x" * 10**5, "NaT", "2026-13-01", "[red]x", "\x1b[31m", "=1+1"]
    ),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
"""Values that nobody expects."""


def changed(tree: Any, path: Path, value: object) -> Any:
    """Copy a tree with another value at the path; GONE takes it away."""
    tree = copy.deepcopy(tree)
    node = tree
    for step in path[:-1]:
        node = node[step]
    if value is GONE:
        del node[path[-1]]
    else:
        node[path[-1]] = value
    return tree


def paths(tree: Any, before: Path = ()) -> Iterator[Path]:
    """Yield the path of every node but the root."""
    if not isinstance(tree, dict | list):
        return
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield (*before, key)
        yield from paths(value, (*before, key))


@st.composite
def mutated(draw: st.DrawFn, good: Any) -> Any:
    """Draw the tree with some nodes replaced, taken away or put beside others."""
    tree = copy.deepcopy(good)
    for _ in range(draw(st.integers(1, 3))):
        places = list(paths(tree))
        if not places:
            return draw(hostile)
        path = draw(st.sampled_from(places))
        change = draw(st.sampled_from(["replace", "delete", "insert"]))
        if change == "insert" and isinstance(path[-1], str):
            path = (*path[:-1], draw(st.text(max_size=5)))
        tree = changed(tree, path, GONE if change == "delete" else draw(hostile))
    return tree
