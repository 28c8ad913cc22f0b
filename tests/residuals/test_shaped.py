import pytest
import torch
from support.naive_model import Naive, assert_formula, context, shape_of, start
from torch import Tensor

from resformer.errors import UserError
from resformer.residuals.shaped import Shaped

SCHEME = Shaped(ffn_gain_at_18_blocks=0.1)


@pytest.mark.parametrize("attention", ["causal", "bidirectional"])
def test_formula(attention: str) -> None:
    def attended(net: Naive, block: int, x: Tensor) -> Tensor:
        alpha, beta, gamma = (
            net.w[f"block{block}.shaped.{part}"] for part in ("alpha", "beta", "gamma")
        )
        identity = torch.eye(len(x), dtype=x.dtype)
        uniform = net.weights(torch.zeros(len(x), len(x), dtype=x.dtype))

        def mix(head: int, a: Tensor) -> Tensor:
            return alpha[head] * identity + beta[head] * a - gamma[head] * uniform

        return net.attention(block, net.norm(f"sublayer{2 * block - 1}.in", x), mix=mix)

    def layers(net: Naive, x: Tensor) -> Tensor:
        for block in range(1, net.depth + 1):
            x = attended(net, block, x)
            x = x + net.w[f"block{block}.shaped.ffn_gain"] * net.pre(2 * block, x)
        return net.norm("last", x)

    assert_formula(SCHEME, layers, attention=attention)


@pytest.mark.parametrize("attention", ["causal", "bidirectional"])
def test_attention_starts_as_the_identity(attention: str) -> None:
    """Its mixing matrix is I, and so are the matrices around it: in the authors' code block 1's
    value matrix may leave the identity, where it starts like the others.
    """
    shape = shape_of(SCHEME, attention=attention)
    _, w = start(shape)
    scores = torch.zeros(2, 3, 3, 10, 10, dtype=torch.float64)
    if attention == "causal":
        scores = scores.masked_fill(torch.ones(10, 10).triu(1).bool(), -torch.inf)
    mixed = SCHEME.attention_pattern(scores.softmax(-1), context(SCHEME, 1, w, attention=attention))
    torch.testing.assert_close(mixed, torch.eye(10, dtype=torch.float64).expand_as(mixed))
    for block in (1, 2, 3):
        assert not w[f"block{block}.query.matrix"].any()
        for group in ("value", "output"):
            matrix = w[f"block{block}.{group}.matrix"][0]
            assert torch.equal(matrix, torch.eye(12, dtype=torch.float64))


@pytest.mark.parametrize(("depth", "gain"), [(18, 0.1), (2, 0.3)])
def test_the_initial_gain_of_the_ffn_falls_with_depth(depth: int, gain: float) -> None:
    _, w = start(shape_of(SCHEME, depth=depth))
    assert w["block1.shaped.ffn_gain"].flatten().tolist() == [pytest.approx(gain)] * 2


def test_a_gain_that_is_no_number_is_refused() -> None:
    with pytest.raises(UserError, match=r"model\.residual\.ffn_gain_at_18_blocks=nan"):
        Shaped(ffn_gain_at_18_blocks=float("nan"))
