"""Pairs of arms that a report compares."""

import pytest

from resformer.errors import UserError
from resformer.reporting.analysis.pairs import RESIDUAL_NORM, Pairing
from resformer.reporting.schema import ArmKey
from resformer.residuals.add import Add


def arm(residual: str, norm: str, study: str = "made", **further: int) -> ArmKey:
    dotted = tuple((axis.replace("__", "."), value) for axis, value in further.items())
    return ArmKey(study=study, task="copy", residual=residual, norm=norm, further=dotted)


def pairs(arms: list[ArmKey], **words: str) -> list[tuple[ArmKey, ArmKey]]:
    return Pairing(**words).pairs(arms)


ADD, PLAIN = arm("add", "pre"), arm("plain", "pre")
ADD_POST, PLAIN_POST = arm("add", "post"), arm("plain", "post")
DEEPNORM, KEEL = arm("deepnorm", "post"), arm("keel", "pre_post")


def test_each_scheme_is_compared_with_plain_at_its_norm() -> None:
    arms = [ADD, PLAIN, ADD_POST, PLAIN_POST, DEEPNORM]
    assert pairs(arms) == [(ADD, PLAIN), (ADD_POST, PLAIN_POST), (DEEPNORM, PLAIN_POST)]


def test_add_is_the_baseline_where_plain_did_not_run() -> None:
    assert pairs([ADD_POST, DEEPNORM]) == [(DEEPNORM, ADD_POST)]


def test_a_placement_without_baseline_is_compared_with_add_at_its_own_norm() -> None:
    assert Add.own_norm == RESIDUAL_NORM
    assert pairs([KEEL, ADD, PLAIN, ADD_POST, PLAIN_POST])[0] == (KEEL, ADD_POST)
    assert pairs([KEEL, ADD]) == []


def test_settings_of_a_scheme_are_no_difference_to_its_baseline() -> None:
    one, two = (
        arm("layerscale", "pre", model__residual__start=value, model__width=32) for value in (1, 2)
    )
    plain = arm("plain", "pre", model__residual__start=0, model__width=32)
    wide = arm("plain", "pre", model__residual__start=0, model__width=64)
    assert pairs([one, two, plain, wide]) == [(one, plain), (two, plain)]


def test_every_other_column_against_one() -> None:
    arms = [ADD, PLAIN, ADD_POST, DEEPNORM]
    expected = [(PLAIN, ADD), (ADD_POST, ADD), (DEEPNORM, ADD)]
    for words in ("add pre", "pre add", "add,pre", "residual=add norm=pre"):
        assert pairs(arms, against=words) == expected


def test_a_word_alone_leaves_the_other_axes_alike() -> None:
    assert pairs([ADD, PLAIN, ADD_POST, DEEPNORM, KEEL], against="add") == [
        (PLAIN, ADD),
        (DEEPNORM, ADD_POST),
    ]


def test_columns_that_differ_in_one_key_only() -> None:
    arms = [PLAIN, ADD, ADD_POST, PLAIN_POST, DEEPNORM]
    assert pairs(arms, compare="model.norm") == [(ADD, ADD_POST), (PLAIN, PLAIN_POST)]
    assert (DEEPNORM, ADD_POST) in pairs(arms, compare="residual")
    assert (ADD, PLAIN) in pairs(arms, compare="model/residual")


def test_two_studies_side_by_side() -> None:
    other = arm("add", "pre", study="later")
    assert pairs([other, ADD], compare="study") == [(ADD, other)]


def test_what_is_not_there_is_refused_with_what_is() -> None:
    arms = [ADD, PLAIN]
    for words, message in (
        ({"against": "rezero"}, "--against rezero: nothing here is rezero; there are add, plain"),
        ({"compare": "model.width"}, "--compare model.width: sets no columns apart"),
        ({"compare": "norm"}, "--compare norm: no two columns differ in it alone"),
        (
            {"against": "pre"},
            "--against pre: nothing to compare, all columns are pre; they differ in residual only: "
            "add, plain",
        ),
    ):
        with pytest.raises(UserError, match=message):
            pairs(arms, **words)
    with pytest.raises(UserError, match="use one of the two"):
        Pairing(against="add", compare="norm")
