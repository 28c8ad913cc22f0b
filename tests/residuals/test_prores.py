import pytest
import torch
from support.naive_model import Naive, assert_formula, inputs, outputs, shape_of, start
from torch import Tensor

from resformer.errors import UserError
from resformer.residuals.add import Add
from resformer.residuals.prores import ProRes

ALPHA = {  # of three blocks, T = 4, after six steps
    "linear": [1.0, 6 / 8, 6 / 12],
    "equal": [1.0, 1.0, 1.0],
    "reverse": [6 / 12, 6 / 8, 1.0],
}


@pytest.mark.parametrize(("order", "norm"), [*zip(ALPHA, ("pre", "post", "sandwich"), strict=True)])
def test_formula(order: str, norm: str) -> None:
    def layers(net: Naive, x: Tensor) -> Tensor:
        for i in net.sublayers:
            f = net.F(i, x) if norm == "post" else net.pre(i, x)
            f = net.norm(f"sublayer{i}.branch", f) if norm == "sandwich" else f
            x = x + ALPHA[order][(i - 1) // 2] * f
            x = net.post(i, x) if norm == "post" else x
        return x if norm == "post" else net.norm("last", x)

    assert_formula(ProRes(order=order, warmup_steps=4), layers, step=6, norm=norm)


@pytest.mark.parametrize("order", ALPHA)
def test_it_is_the_identity_before_training_and_add_in_the_end(order: str) -> None:
    scheme = ProRes(order=order, warmup_steps=7)
    shape = shape_of(scheme)
    flat_PN, w = start(shape)
    inputs_PBT = inputs(shape)

    def after(steps: int) -> Tensor:
        return shape.transformer().forward(flat_PN, inputs_PBT, step=torch.tensor(steps))

    assert torch.equal(after(21), outputs(Add(), norm="pre"))
    assert torch.equal(after(10**9), after(21))
    assert not torch.equal(after(6), after(21))
    x = w["embedding.token"][0][inputs_PBT[0]] + w["embedding.position"][0]
    x = torch.nn.functional.layer_norm(x[:, -shape.task.length :], (12,))
    torch.testing.assert_close(after(0)[0], x @ w["head.matrix"][0], rtol=1e-12, atol=1e-12)


def test_equal_orders_are_one_in_a_single_block() -> None:
    def after_two(order: str) -> Tensor:
        shape = shape_of(ProRes(order=order, warmup_steps=5), depth=1)
        return shape.transformer().forward(
            start(shape)[0], inputs(shape), step=torch.tensor(2, dtype=torch.int64)
        )

    assert torch.equal(after_two("linear"), after_two("equal"))
    assert torch.equal(after_two("linear"), after_two("reverse"))


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (("square", 10), r"model\.residual\.order=square: must be one of linear, equal, reverse"),
        (("linear", 0), r"model\.residual\.warmup_steps=0: must be from 1"),
    ],
)
def test_impossible_settings_are_refused(settings: tuple[str, int], line: str) -> None:
    with pytest.raises(UserError, match=line):
        ProRes(order=settings[0], warmup_steps=settings[1])
