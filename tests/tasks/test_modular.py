"""Modular addition."""

import pytest
import torch
from support import shapes

from resformer.errors import Incompatible, UserError
from resformer.model.shape import Member
from resformer.numerics import rng
from resformer.tasks.base import IGNORE_INDEX
from resformer.tasks.modular import Modular
from resformer.training.loop import Training

SUMS = Modular(modulus=7, examples=20)


def keys(*seeds: int) -> torch.Tensor:
    return rng.key(torch.tensor(seeds), "test")


def test_the_target_is_the_sum_at_the_sign() -> None:
    for source, target in (SUMS.draw(keys(1, 2), 50), SUMS.draw_held_out(keys(1, 2), 29)):
        for (a, b, sign), answers in zip(
            source.flatten(0, 1).tolist(), target.flatten(0, 1).tolist(), strict=True
        ):
            assert sign == 7
            assert answers == [IGNORE_INDEX, IGNORE_INDEX, (a + b) % 7]


def test_every_pair_is_for_training_or_held_out_and_none_is_both() -> None:
    trained, held_out = (
        {tuple(row) for row in source.flatten(0, 1).tolist()}
        for source, _ in (SUMS.draw(keys(1, 2, 3), 500), SUMS.draw_held_out(keys(9), 29))
    )
    assert (len(trained), len(held_out)) == (20, 29)
    assert not trained & held_out
    assert len(trained | held_out) == 7 * 7


def test_a_smaller_training_set_is_part_of_a_larger_one() -> None:
    small, large = (
        {tuple(row) for row in Modular(modulus=7, examples=count).draw(keys(1), 500)[0][0].tolist()}
        for count in (10, 30)
    )
    assert small < large


def test_more_held_out_pairs_than_there_are_do_not_go_with_it() -> None:
    assert shapes.shape(task=SUMS, eval_sequences=29).train.eval_sequences == 29
    with pytest.raises(Incompatible, match=r"train\.eval_sequences=30: must be at most 29"):
        shapes.shape(task=SUMS, eval_sequences=30)


@pytest.mark.parametrize(
    ("modulus", "examples", "message"),
    [(1, 1, "task.modulus=1"), (7, 0, "task.examples=0"), (7, 49, "task.examples=49: .* to 48")],
)
def test_a_split_with_an_empty_part_is_refused(modulus: int, examples: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Modular(modulus=modulus, examples=examples)


def test_to_know_the_examples_by_heart_is_not_to_diverge() -> None:
    """Eight pairs of seven numbers are learnt soon, and say nothing of the others: the held-out
    loss is above the bound for longer than the patience.
    """
    task = Modular(modulus=7, examples=8)
    shape = shapes.shape(task=task, steps=150, eval_every=10, patience=20, batch=16)
    trained = Training(shape, [Member(seed=0, lr=1e-2)]).run()
    late = trained.curves["held_out_loss"][[120, 130, 140, 150]]
    assert (late > task.divergence_bound).all()
    assert trained.runs["outcome"] == ["unsolved"]


def test_half_of_the_held_out_pairs_have_their_mirror_among_the_examples() -> None:
    task = Modular(modulus=31, examples=480)
    key_1 = rng.key(torch.tensor([1]), "test")
    drawn = task.draw_held_out(key_1, task.num_held_out)[0][0, :, :2]
    held_out = {(int(a), int(b)) for a, b in drawn}
    assert len(held_out) == 31**2 - 480
    mirrored = sum((b, a) not in held_out for a, b in held_out)
    assert round(100 * mirrored / len(held_out)) == 48
