import itertools
import math
from collections import Counter

import pytest
import torch

from resformer.tasks.sort import Sort


def test_the_sequence_its_docstring_draws() -> None:
    source = torch.tensor([[[3, 1, 4, 1]]])
    target = Sort(length=4, symbols=9).target(source)
    assert target.tolist() == [[[1, 1, 3, 4]]]
    assert torch.equal(Sort(length=4, symbols=9).inputs(source, target, "bidirectional"), source)
    assert Sort(length=4, symbols=9).num_tokens("bidirectional") == 4


@pytest.mark.parametrize(("length", "symbols"), [(1, 3), (2, 4), (3, 5), (4, 3)])
def test_blind_loss_by_enumeration(length: int, symbols: int) -> None:
    sources = list(itertools.product(range(symbols), repeat=length))
    entropies = []
    for position in range(length):
        counts = Counter(sorted(source)[position] for source in sources)
        entropies.append(
            -sum(n / len(sources) * math.log(n / len(sources)) for n in counts.values())
        )
    assert Sort(length=length, symbols=symbols).blind_loss() == pytest.approx(
        sum(entropies) / length, abs=1e-12
    )


def test_blind_loss_of_the_default_task() -> None:
    assert Sort(length=8, symbols=16).blind_loss() == pytest.approx(2.07, abs=0.005)


def test_blind_loss_of_the_longest_task_is_a_number() -> None:
    assert 0 < Sort(length=512, symbols=4096).blind_loss() < math.log(4096)
