"""Parity with the package `hyper-connections`."""

import pytest
import torch
from support import foreign
from support.foreign import Compare, Weights
from support.naive_model import shape_of, start
from support.schemes import scheme
from torch import Tensor, nn

hyper_connections = pytest.importorskip("hyper_connections")


def connection(n: int, i: int) -> nn.Module:
    """Connection around sub-layer i, with the paper's layer norm in the place of RMSNorm."""
    module = hyper_connections.HyperConnections(n, dim=12, layer_index=i)
    module.norm = nn.LayerNorm(12, elementwise_affine=False)
    return module


def weights(w: Weights, i: int, n: int) -> Weights:
    """Ours in its places: it has a before A, and b by itself."""
    own = {name: w[f"sublayer{i}.hyper.{name}"] for name in ("mix", "write", "dynamic")}
    read = torch.cat([w[f"sublayer{i}.hyper.read{j}"] for j in range(n)])
    return {
        "static_alpha": torch.cat([read[:, None], own["mix"]], 1),
        "dynamic_alpha_fn": torch.cat([own["dynamic"][:, :1], own["dynamic"][:, 2:]], 1),
        "dynamic_alpha_scale": w[f"sublayer{i}.hyper.scale_read_and_mix"][0],
        "static_beta": own["write"],
        "dynamic_beta_fn": own["dynamic"][:, 1],
        "dynamic_beta_scale": w[f"sublayer{i}.hyper.scale_write"][0],
    }


class Block(nn.Module):
    """A connection with a branch that brings its own weights."""

    def __init__(self, connection: nn.Module) -> None:
        super().__init__()
        self.connection = connection

    def forward(self, streams: Tensor, branch: object) -> Tensor:
        read, add = self.connection(streams)
        return add(branch(read))


@pytest.mark.parametrize("n", [1, 2, 4])
def test_streams_are_read_mixed_and_written_as_there(n: int, compare: Compare) -> None:
    def stack(w: Weights, x_BTD: Tensor) -> Tensor:
        expand, reduce = hyper_connections.get_expand_reduce_stream_functions(n)
        streams = expand(x_BTD)
        for i in range(1, 7):
            norm, sublayer = foreign.norm(w, f"sublayer{i}.in"), foreign.sublayer(w, i)

            def branch(h_BTD: Tensor) -> Tensor:
                return sublayer(norm(h_BTD))  # noqa: B023

            own = foreign.within("connection", weights(w, i, n))
            streams = foreign.call(Block(connection(n, i)), own, streams, branch)
        return foreign.norm(w, "last")(reduce(streams))

    compare(scheme("hyper", streams=n), stack)


@pytest.mark.parametrize("n", [1, 4])
def test_connections_start_as_there(n: int) -> None:
    """The index of a connection counts sub-layers."""
    _, w = start(shape_of(scheme("hyper", streams=n)), members=1)
    first = {name: tensor[0] for name, tensor in w.items()}
    for i in range(1, 7):
        ours = weights(first, i, n)
        for name, theirs in connection(n, i).named_parameters():
            assert torch.equal(ours[name].float(), theirs.detach())
