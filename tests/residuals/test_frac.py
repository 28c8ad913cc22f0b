import pytest
import torch
from support.naive_model import Naive, assert_formula, outputs, shape_of, start
from torch import Tensor

from resformer.errors import Incompatible, UserError
from resformer.residuals.add import Add
from resformer.residuals.frac import Frac


@pytest.mark.parametrize(("m", "dynamic"), [(2, 0.01), (3, 0.01), (3, 0.0)])
def test_formula(m: int, dynamic: float) -> None:
    def layers(net: Naive, x: Tensor) -> Tensor:
        for i in net.sublayers:
            name, tokens = f"sublayer{i}.frac", []
            H = torch.stack(x.chunk(m, -1), 1)  # (T, m, D/m)
            Y, A, b = (net.w[f"{name}.{part}"] for part in ("read", "mix", "write"))
            if dynamic:
                products = torch.tanh(net.unit(H) @ net.w[f"{name}.dynamic"])
                s, t = net.w[f"{name}.scale_read_and_mix"], net.w[f"{name}.scale_write"]
                Y, A = Y + s * products[..., :m], A + s * products[..., m : 2 * m]
                b = b + t * products[..., 2 * m]
            f = net.pre(i, (Y.mT @ H).flatten(1))
            for token, parts in enumerate((A.mT @ H).unbind()):
                weights = b[token] if dynamic else b
                branch = torch.stack(f[token].chunk(m))
                tokens.append(torch.cat(list(parts + weights.unsqueeze(1) * branch)))
            x = torch.stack(tokens)
        return net.norm("last", x)

    assert_formula(Frac(fractions=m, dynamic=dynamic), layers)


@pytest.mark.parametrize("dynamic", [0.01, 0.0])
def test_is_pre_norm_at_the_start(dynamic: float) -> None:
    assert torch.equal(outputs(Frac(fractions=4, dynamic=dynamic)), outputs(Add(), norm="pre"))


@pytest.mark.parametrize(("dynamic", "count"), [(0.01, 3 * 7 + 4 * 7 + 2), (0.0, 3 * 7)])
def test_learns_as_many_numbers_as_the_paper_says(dynamic: float, count: int) -> None:
    """m·(2m + 1), and with the dynamic part D/m·(2m + 1) + 2 more; m = 3, D = 12 (eq. 16, 19)."""
    _, w = start(shape_of(Frac(fractions=3, dynamic=dynamic), depth=1))
    own = [tensor for name, tensor in w.items() if name.startswith("sublayer2.frac")]
    assert sum(tensor[0].numel() for tensor in own) == count


def test_parts_have_equal_widths() -> None:
    with pytest.raises(
        Incompatible, match=r"model\.residual\.fractions=5: must divide model\.width=12"
    ):
        shape_of(Frac(fractions=5, dynamic=0.01))


@pytest.mark.parametrize(("fractions", "dynamic"), [(1, 0.01), (17, 0.01), (4, float("nan"))])
def test_impossible_settings_are_refused(fractions: int, dynamic: float) -> None:
    with pytest.raises(UserError, match=r"model\.residual\."):
        Frac(fractions=fractions, dynamic=dynamic)
