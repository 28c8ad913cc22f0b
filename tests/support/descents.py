"""Steps of an optimiser on parameters of every role, beside those of another implementation."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from resformer.numerics.backends import eager
from resformer.numerics.backends.base import Backend
from resformer.numerics.layout import Layout
from resformer.numerics.parameters import Factors, ParameterSpec, Role, unpack
from resformer.optimizers.base import Optimizer, Step

_SHAPES: dict[str, tuple[Role, tuple[int, ...]]] = {
    "embedding": ("embedding", (5, 4)),
    "wide": ("matrix", (4, 7)),
    "bias": ("vector", (7,)),
    "square": ("matrix", (4, 4)),
    "tall": ("matrix", (7, 4)),
    "more": ("matrix", (4, 7)),
    "gate": ("gate", (1,)),
    "head": ("head", (4, 5)),
}
MATRICES = ("wide", "square", "tall", "more")
DECAYING = ("embedding", *MATRICES, "head")
LR = (1e-3, 1e-2, 0.3)
STEPS = 30

Make = Callable[[Mapping[str, nn.Parameter], float], Sequence[torch.optim.Optimizer]]
"""Parameters of a member by name and its learning rate → optimisers of all of them."""


def specs(factors: Mapping[str, Factors] = {}) -> list[ParameterSpec]:
    """Parameters, of which these have factors."""
    return [
        ParameterSpec(
            name=name,
            shape=shape,
            draw="normal",
            scale=1.0,
            role=role,
            factors=factors.get(name, Factors()),
        )
        for name, (role, shape) in _SHAPES.items()
    ]


def descended(
    optimizer: Optimizer,
    *,
    decay_all: bool = False,
    factors: Mapping[str, Factors] = {},
    backend: Backend = eager,
    dtype: torch.dtype = torch.float64,
    rows: Sequence[int] = (0, 1, 2),
) -> Tensor:
    """The parameters of these members, of three with the learning rates LR, after STEPS steps."""
    own = specs(factors)
    layout = Layout(own, weight_decay=optimizer.weight_decay, decay_all=decay_all)
    flat_PN, gradients = drawn(dtype)
    flat_PN, lr_P = flat_PN[[*rows]], torch.tensor(LR, dtype=dtype)[[*rows]]
    state = {name: torch.zeros_like(flat_PN) for name in optimizer.state}
    for number, grad_PN in enumerate(gradients, start=1):
        optimizer.move(
            Step(
                flat_PN=flat_PN,
                grad_PN=grad_PN[[*rows]],
                state=state,
                lr_P=lr_P,
                number=torch.tensor(number),
                layout=layout,
                backend=backend,
            )
        )
    return flat_PN


def descended_by_torch(make: Make, dtype: torch.dtype = torch.float64) -> Tensor:
    """The same by torch's optimisers, each member by its own."""
    flat_PN, gradients = drawn(dtype)
    rows = []
    for member, lr in enumerate(LR):
        own = {
            name: nn.Parameter(tensor[member].clone())
            for name, tensor in unpack(specs(), flat_PN).items()
        }
        optimisers = make(own, lr)
        for grad_PN in gradients:
            for name, grad in unpack(specs(), grad_PN).items():
                own[name].grad = grad[member].clone()
            for optimiser in optimisers:
                optimiser.step()
        rows.append(torch.cat([parameter.detach().flatten() for parameter in own.values()]))
    return torch.stack(rows)


def drawn(dtype: torch.dtype) -> tuple[Tensor, list[Tensor]]:
    """Parameters of three members, and the gradients of the steps, large and small ones."""
    generator = torch.Generator().manual_seed(0)
    count = sum(spec.size for spec in specs())
    size = [10.0 if step % 3 else 0.01 for step in range(STEPS)]
    flat_PN = torch.randn(3, count, dtype=dtype, generator=generator)
    return flat_PN, [
        torch.randn(3, count, dtype=dtype, generator=generator) * factor for factor in size
    ]


def named(flat_PN: Tensor) -> Mapping[str, Tensor]:
    """Parameters by name."""
    return unpack(specs(), flat_PN)
