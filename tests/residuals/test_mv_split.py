import pytest
import torch
from support.naive_model import Naive, assert_formula, context
from torch import Tensor

from resformer.errors import UserError
from resformer.residuals.mv_split import MvSplit

SCHEME = MvSplit(mean=0.0, deviation_at_one_block=1.0)


def mean(x: Tensor, causal: bool) -> Tensor:
    """Mean (T, D) of the tokens that each token sees."""
    seen = [x[: token + 1] if causal else x for token in range(len(x))]
    return torch.stack([tokens.mean(0) for tokens in seen])


@pytest.mark.parametrize("attention", ["causal", "bidirectional"])
@pytest.mark.parametrize("norm", ["post", "pre"])
def test_formula(norm: str, attention: str) -> None:
    def layers(net: Naive, x: Tensor) -> Tensor:
        for i in net.sublayers:
            f = net.pre(i, x) if norm == "pre" else net.F(i, x)
            alpha, beta = (net.w[f"sublayer{i}.mv_split.{part}"] for part in ("mean", "deviation"))
            f_mean, x_mean = mean(f, net.causal), mean(x, net.causal)
            x = x + beta * (f - f_mean) + alpha * (f_mean - x_mean)
            x = net.post(i, x) if norm == "post" else x
        return net.norm("last", x) if norm == "pre" else x

    assert_formula(SCHEME, layers, norm=norm, attention=attention)


def written(x_PRD: Tensor, f_PRD: Tensor, alpha: float, beta: float, attention: str) -> Tensor:
    """One update of a member whose gains are the same in all channels."""
    w = {
        f"sublayer1.mv_split.{part}": torch.full((1, 12), value, dtype=torch.float64)
        for part, value in (("mean", alpha), ("deviation", beta))
    }
    return SCHEME.write(x_PRD, f_PRD, context(SCHEME, 1, w, attention=attention))


@pytest.mark.parametrize(
    ("attention", "seen"), [("causal", [10, 11, 12]), ("bidirectional", [10, 11, 12, 13, 14])]
)
def test_a_token_depends_on_its_sequence_and_if_causal_on_earlier_tokens(
    attention: str, seen: list[int]
) -> None:
    tokens = {"causal": 10, "bidirectional": 5}[attention]
    x_PRD, f_PRD = torch.randn(
        2, 1, 4 * tokens, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    f_PRD.requires_grad_()
    row = written(x_PRD, f_PRD, 0.5, 0.7, attention)[0, 12]  # the third of its sequence
    (gradient,) = torch.autograd.grad(row.sum(), f_PRD)
    assert gradient.any(-1).nonzero()[:, 1].tolist() == seen


def test_alpha_moves_means_and_beta_deviations() -> None:
    x_PRD, f_PRD = torch.randn(
        2, 1, 5, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    mean_x, mean_f = x_PRD.mean(1, keepdim=True), f_PRD.mean(1, keepdim=True)
    replaced = written(x_PRD, f_PRD, 1.0, 1.0, "bidirectional")
    torch.testing.assert_close(replaced, x_PRD - mean_x + f_PRD, rtol=1e-12, atol=1e-12)
    moved = written(x_PRD, f_PRD, 0.25, 0.0, "bidirectional")
    expected = x_PRD + 0.25 * (mean_f - mean_x)
    torch.testing.assert_close(moved, expected, rtol=1e-12, atol=1e-12)


def test_the_first_token_of_a_causal_model_has_no_deviation() -> None:
    x_PRD, f_PRD = torch.randn(
        2, 1, 10, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    first = written(x_PRD, f_PRD, 0.0, 0.7, "causal")[:, 0]
    torch.testing.assert_close(first, x_PRD[:, 0], rtol=1e-12, atol=1e-12)


def test_deviations_start_smaller_in_deep_stacks() -> None:
    starts = {
        depth: {
            spec.name.rpartition(".")[2]: spec.scale
            for spec in SCHEME.parameters(context(SCHEME, 1, depth=depth).architecture)
        }
        for depth in (1, 4, 1000)
    }
    assert starts[1] == {"mean": 0.0, "deviation": 1.0}
    assert starts[4] == {"mean": 0.0, "deviation": 0.5}
    assert round(starts[1000]["deviation"], 2) == 0.03


def test_a_start_that_is_no_number_is_refused() -> None:
    with pytest.raises(UserError, match=r"model\.residual\.deviation_at_one_block=nan"):
        MvSplit(mean=0.0, deviation_at_one_block=float("nan"))
