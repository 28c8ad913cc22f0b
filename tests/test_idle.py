"""Settings that have an effect only beside others."""

import pytest

from resformer import config

PARAMETRISED = "has no effect without model.parametrisation=depth_mup or completep"
CPU = ("device=cpu", "train.compile=false")


@pytest.mark.parametrize(
    ("words", "notes"),
    [
        (["model.rope_base=100"], ["model.rope_base: has no effect without model.position=rope"]),
        (["model.rope_base=100", "model.position=rope"], []),
        (["model.rope_base=100", "model.position=rope,none"], []),
        (
            ["train.final_lr=0.1"],
            ["train.final_lr: has no effect without a train.schedule that falls"],
        ),
        (["train.final_lr=0.1", "train.schedule=cosine"], []),
        (
            ["model.base_depth=2", "model.base_heads=4"],
            [f"model.{key}: {PARAMETRISED}" for key in ("base_depth", "base_heads")],
        ),
        (
            ["train.decay_all=true"],
            ["train.decay_all: has no effect without an optimizer.weight_decay over 0"],
        ),
        (["train.decay_all=true", "optimizer.weight_decay=0.1"], []),
        (
            ["train.target_loss=0.1", "train.target_accuracy=0.5"],
            ["train.target_accuracy: has no effect without train.target_loss=null"],
        ),
        (
            ["train.target_accuracy=null", "train.stop_when_solved=true"],
            [
                "train.stop_when_solved: has no effect without a train.target_accuracy or "
                "train.target_loss"
            ],
        ),
        (["train.target_loss=0.1", "train.stop_when_solved=true"], []),
    ],
)
def test_one_that_has_no_effect_anywhere_is_noted(words: list[str], notes: list[str]) -> None:
    assert config.request("new", [*CPU, *words]).notes == notes


@pytest.mark.parametrize(
    "setting", ["model.rope_base=100,1000", "train.final_lr=0.0,0.1", "train.decay_all=true,false"]
)
def test_values_of_one_that_has_no_effect_are_one_training(setting: str) -> None:
    assert len(config.request("new", [*CPU, setting]).shapes) == 1


def test_an_optimiser_has_a_learning_rate_of_its_own_unless_one_is_given() -> None:
    words = [*CPU, "optimizer=adamw,lion,sgd"]
    rates = {
        type(shape.optimizer).__name__: [member.lr for member in members]
        for shape, members in config.request("new", words).shapes
    }
    assert rates == {"AdamW": [3e-3], "Lion": [5e-4], "SGD": [0.1]}
    given = config.request("new", [*words, "member.lr=1e-3"]).shapes
    assert {member.lr for _, members in given for member in members} == {1e-3}
