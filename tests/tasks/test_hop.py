import math

import pytest
import torch

from resformer.errors import UserError
from resformer.numerics import rng
from resformer.tasks.base import IGNORE_INDEX
from resformer.tasks.hop import Hop


def find(word: list[int], i: int, k: int) -> int:
    """find^k(i) of definition 4.1 in arXiv 2402.09268, as it stands there: X_1 … X_N, 0 is none."""
    if i == 0:
        return 0
    if k == 0:
        return i
    one = max([0, *(j for j in range(2, i + 1) if word[j - 2] == word[i - 1])])
    return find(word, one, k - 1)


@pytest.mark.parametrize(("length", "symbols", "hops"), [(13, 4, 3), (40, 3, 13), (20, 9, 1)])
def test_follows_the_definition(length: int, symbols: int, hops: int) -> None:
    task = Hop(length=length, symbols=symbols, hops=hops)
    source, target = task.draw(rng.key(torch.tensor([1, 2]), "test"), 40)
    numbers = set()
    for row, targets in zip(
        source.flatten(0, 1).tolist(), target.flatten(0, 1).tolist(), strict=True
    ):
        k, word = row[0] - symbols + 1, row[1:]
        numbers.add(k)
        assert targets[0] == IGNORE_INDEX
        for i in range(1, length + 1):
            place = find(word, i, k)
            assert targets[i] == (word[place - 1] if place else IGNORE_INDEX)
    assert numbers == set(range(1, hops + 1))


def test_the_sequence_its_docstring_draws() -> None:
    source, target = Hop(length=8, symbols=3, hops=2).draw(rng.key(torch.tensor([1]), "test"), 9000)
    drawn = dict(zip(map(tuple, source[0].tolist()), target[0].tolist(), strict=True))
    assert drawn[4, 0, 1, 0, 2, 1, 2, 0, 1] == [-1, -1, -1, -1, -1, 1, 0, -1, 1]


def test_all_words_without_a_repeat_are_as_likely() -> None:
    task = Hop(length=4, symbols=3, hops=1)
    source, _ = task.draw(rng.key(torch.tensor([1]), "test"), 24_000)
    words, counts = source[0].unique(dim=0, return_counts=True)
    assert (words[:, 1:-1] != words[:, 2:]).all()
    # 1,000 of each but for chance (σ = 31).
    assert len(counts) == task.num_inputs == 24
    assert 850 < counts.min() <= counts.max() < 1150


@pytest.mark.parametrize(("length", "symbols", "hops"), [(13, 4, 3), (40, 3, 6)])
def test_hops_exist_where_the_docstring_says(length: int, symbols: int, hops: int) -> None:
    source, target = Hop(length=length, symbols=symbols, hops=hops).draw(
        rng.key(torch.tensor([1]), "test"), 2000
    )
    k = source[0][:, 0] - symbols + 1
    assert ((target[0] != IGNORE_INDEX).sum(1) >= length - k * symbols).all()


def test_a_target_depends_on_symbols_up_to_its_own() -> None:
    """Sources that begin alike have the same targets there, whatever follows."""
    source, target = Hop(length=8, symbols=3, hops=2).draw(rng.key(torch.tensor([1]), "test"), 2000)
    begun: dict[tuple[int, ...], set[int]] = {}
    for row, targets in zip(source[0].tolist(), target[0].tolist(), strict=True):
        begun.setdefault(tuple(row[:7]), set()).add(targets[6])
    assert len(begun) < 400
    assert all(len(targets) == 1 for targets in begun.values())


def test_models_of_both_kinds_answer_in_place() -> None:
    task = Hop(length=32, symbols=4, hops=4)
    assert task.num_tokens("causal") == task.num_tokens("bidirectional") == 33
    assert task.blind_loss() == math.log(4)


@pytest.mark.parametrize(
    ("length", "symbols", "hops"),
    [(16, 4, 4), (512, 4, 4), (9, 2, 1), (511, 5000, 1), (9, 4, 0), (511, 3, 171)],
)
def test_impossible_settings_are_refused(length: int, symbols: int, hops: int) -> None:
    with pytest.raises(UserError, match=r"task\.(length|symbols|hops)="):
        Hop(length=length, symbols=symbols, hops=hops)


def test_answers_that_are_the_symbol_at_the_start() -> None:
    """Shares by number of hops, and of the targets of each; 4,000 words tell them to a percent."""
    task = Hop(length=32, symbols=4, hops=4)
    source, target = (part[0] for part in task.draw(rng.key(torch.tensor([1]), "test"), 4000))
    hops, counts = source[:, :1] - task.symbols + 1, target >= 0
    own, share = (
        [float(values[counts & (hops == number)].float().sum()) for number in range(1, 5)]
        for values in (source == target, counts)
    )
    assert [one / of for one, of in zip(own, share, strict=True)] == pytest.approx(
        [0.0, 0.51, 0.11, 0.36], abs=0.015
    )
    assert share[3] / sum(share) == pytest.approx(0.2, abs=0.015)
