"""Parity with the package `hyper-connections`."""

from collections.abc import Callable

import pytest
import torch
from support import foreign
from support.foreign import Compare, Weights
from support.naive_model import shape_of, start
from support.schemes import scheme
from torch import Tensor, nn

from resformer.residuals import orthogonal

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


class Fractions(nn.Module):
    """A connection between m parts of one stream, with a branch that brings its own weights.

    Theirs adds the sum of all parts of the branch to each part of the stream, weighted part by
    part, where the paper adds each part to its own (its matrix has one weight for each): here only
    these weights, the diagonal, are taken.
    """

    def __init__(self, m: int) -> None:
        super().__init__()
        self.m = m
        self.connection = hyper_connections.HyperConnections(1, dim=12, num_fracs=m)
        self.connection.norm = nn.LayerNorm(12 // m, elementwise_affine=False)

    def forward(self, x_BTD: Tensor, branch: Callable[[Tensor], Tensor]) -> Tensor:
        read_BTD, mixed_BTD, weights = self.connection.width_connection(x_BTD)
        own_BTm = weights["beta"].squeeze(-2).diagonal(dim1=-2, dim2=-1)
        parts_BTmd = branch(read_BTD).unflatten(-1, (self.m, -1))
        return mixed_BTD + (own_BTm.unsqueeze(-1) * parts_BTmd).flatten(-2)


def fraction_weights(w: Weights, i: int, m: int) -> Weights:
    """Ours in its places: a column of Y and one of A in turn, and w_β once per part."""
    own = {name: w[f"sublayer{i}.frac.{name}"] for name in ("read", "mix", "write", "dynamic")}
    Y, A, beta = own["dynamic"].split([m, m, 1], 1)
    return {
        "static_alpha": torch.stack([own["read"], own["mix"]], -1).flatten(1),
        "dynamic_alpha_fn": torch.stack([Y, A], -1).flatten(1),
        "dynamic_alpha_scale": w[f"sublayer{i}.frac.scale_read_and_mix"][0],
        "static_beta": own["write"],
        "dynamic_beta_fn": beta.expand(-1, m),
        "dynamic_beta_scale": w[f"sublayer{i}.frac.scale_write"][0],
    }


@pytest.mark.parametrize("m", [2, 4])
def test_parts_of_a_stream_are_read_mixed_and_written_as_there(m: int, compare: Compare) -> None:
    def stack(w: Weights, x_BTD: Tensor) -> Tensor:
        for i in range(1, 7):
            norm, sublayer = foreign.norm(w, f"sublayer{i}.in"), foreign.sublayer(w, i)

            def branch(h_BTD: Tensor) -> Tensor:
                return sublayer(norm(h_BTD))  # noqa: B023

            own = foreign.within("connection", fraction_weights(w, i, m))
            x_BTD = foreign.call(Fractions(m), own, x_BTD, branch)
        return foreign.norm(w, "last")(x_BTD)

    compare(scheme("frac", fractions=m), stack)


def test_updates_are_orthogonal_as_there(monkeypatch: pytest.MonkeyPatch, compare: Compare) -> None:
    """But for ε, which the package does not have."""
    from hyper_connections.residuals import OrthogonalResidualUpdate

    monkeypatch.setattr(orthogonal, "_EPSILON", 0.0)

    def stack(w: Weights, x_BTD: Tensor) -> Tensor:
        for i in range(1, 7):
            f_BTD = foreign.sublayer(w, i)(foreign.norm(w, f"sublayer{i}.in")(x_BTD))
            x_BTD = foreign.call(OrthogonalResidualUpdate(), {}, f_BTD, x_BTD)
        return foreign.norm(w, "last")(x_BTD)

    compare(scheme("orthogonal"), stack)
