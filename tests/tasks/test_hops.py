import itertools
import math
from collections import Counter

import pytest
import torch

from resformer.errors import UserError
from resformer.numerics import rng
from resformer.tasks.hops import Hops


@pytest.mark.parametrize("hops", [1, 2, 5])
def test_follows_the_pointers(hops: int) -> None:
    source, target = Hops(length=7, hops=hops).draw(rng.key(torch.tensor([1, 2]), "test"), 30)
    for f, targets in zip(
        source.flatten(0, 1).tolist(), target.flatten(0, 1).tolist(), strict=True
    ):
        assert sorted(f) == list(range(7))
        for place in range(7):
            at = place
            for _ in range(hops):
                at = f[at]
            assert targets[place] == at


def test_the_sequence_its_docstring_draws() -> None:
    source, target = Hops(length=4, hops=2).draw(rng.key(torch.tensor([1]), "test"), 200)
    drawn = dict(zip(map(tuple, source[0].tolist()), target[0].tolist(), strict=True))
    assert drawn[2, 0, 3, 1] == [3, 2, 1, 0]


@pytest.mark.parametrize(("length", "hops"), [(2, 1), (3, 2), (4, 4), (5, 6), (6, 60)])
def test_blind_loss_by_enumeration(length: int, hops: int) -> None:
    entropies = []
    for place in range(length):
        counts: Counter[int] = Counter()
        for f in itertools.permutations(range(length)):
            at = place
            for _ in range(hops):
                at = f[at]
            counts[at] += 1
        shares = [count / math.factorial(length) for count in counts.values()]
        entropies.append(-sum(share * math.log(share) for share in shares))
    assert Hops(length=length, hops=hops).blind_loss() == pytest.approx(
        sum(entropies) / length, abs=1e-12
    )


def test_all_permutations_are_as_likely() -> None:
    source, _ = Hops(length=3, hops=1).draw(rng.key(torch.tensor([1]), "test"), 6000)
    # 1,000 of each but for chance (σ = 29).
    _, counts = source[0].unique(dim=0, return_counts=True)
    assert len(counts) == Hops(length=3, hops=1).num_inputs == 6
    assert 850 < counts.min() <= counts.max() < 1150


@pytest.mark.parametrize(("length", "hops"), [(1, 1), (513, 1), (4, 0), (4, 513)])
def test_impossible_settings_are_refused(length: int, hops: int) -> None:
    with pytest.raises(UserError, match=r"task\.(length|hops)="):
        Hops(length=length, hops=hops)
