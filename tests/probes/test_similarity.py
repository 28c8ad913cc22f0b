import itertools

import pytest
import torch
from support.traces import of_streams

from resformer.probes.measures.similarity import Similarity


def test_mean_cosine_of_all_pairs() -> None:
    stream = torch.randn(
        2, 3, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    similarity = Similarity().compute(of_streams(stream))["similarity"]
    for member in (0, 1):
        pairs = [
            torch.nn.functional.cosine_similarity(one[s], one[t], dim=0)
            for one in stream[member]
            for s, t in itertools.combinations(range(5), 2)
        ]
        torch.testing.assert_close(similarity[0, member], torch.stack(pairs).mean())


@pytest.mark.parametrize("size", [1.0, 1e-200])
def test_tokens_that_are_the_same_are_alike_however_small(size: float) -> None:
    token = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64) * size
    similarity = Similarity().compute(of_streams(token.expand(1, 2, 4, 3)))["similarity"]
    assert similarity.item() == pytest.approx(1.0)


def test_one_token_has_no_similarity() -> None:
    assert Similarity().compute(of_streams(torch.ones(2, 3, 1, 4)))["similarity"].isnan().all()
