"""Trial of a block of one's own at planning: it can be trained, draws nothing but its parameters'
initial values, computes each sequence by itself, and with causal attention sees no later token.
"""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from resformer.errors import Incompatible, UserError
from resformer.model.own_class import blaming
from resformer.model.own_module import OwnBlocks
from resformer.numerics import rng

_MEMBERS, _SEQUENCES = 2, 2
_DTYPE = torch.float32
_NOISE = 0.1
"""Size of what is added to initial values, some of which may be zero so that a block is blind at
first.
"""
_ROUNDING = 1e-4
"""Largest difference, as a share of the largest output, that is taken for float32's rounding: a
hundred times that of a sum of a thousand products.
"""


@cache
def try_module(own: OwnBlocks) -> None:
    """Raise UserError unless the class makes modules that can be trained, Incompatible if only
    without causal attention.
    """
    for block in own.kinds:
        weights, x_PBTD = _weights(own, block), _normal("trial", own)
        _try_training(own, block, weights, x_PBTD)
        noisy = {name: w_P + _NOISE * _like(name, w_P) for name, w_P in weights.items()}
        with torch.no_grad():
            _try_seeds(own, block, noisy, x_PBTD)
            _try_sequences(own, block, noisy, x_PBTD)
            if own.causal:
                _try_causal(own, block, noisy, x_PBTD)
    if not own.parameter_specs:
        raise _wrong(own, "has no parameters; there is nothing to train")


def _weights(own: OwnBlocks, block: int) -> dict[str, Tensor]:
    """Initial parameters of a block, (P, …) each."""
    with _nothing_drawn(own):
        modules = [own.build(block, seed) for seed in range(_MEMBERS)]
        again = [own.build(block, seed) for seed in range(_MEMBERS)]
    _check_tensors(own, modules[0])
    with blaming(own.path):
        first, second = _stacked(modules), _stacked(again)
    for name, w_P in first.items():
        if not _same(w_P, second[name]):
            raise _wrong(own, f"{name} starts differently at one seed; let torch draw it")
    return first


def _check_tensors(own: OwnBlocks, module: nn.Module) -> None:
    """Raise UserError for what training would leave as it is, or does not compute with."""
    parameters = dict(module.named_parameters())
    if buffers := [name for name, _ in module.named_buffers()]:
        raise _wrong(own, f"keeps buffers ({buffers[0]}); parameters alone would do")
    if lazy := [name for name, parameter in parameters.items() if is_lazy(parameter)]:
        raise _wrong(
            own,
            f"keeps parameters that have no shape yet ({lazy[0]}); sizes given in the constructor, "
            "as to nn.Linear, would do",
        )
    for name, parameter in parameters.items():
        if parameter.dtype != _DTYPE:
            kind = f"{parameter.dtype} ({name})"
            raise _wrong(own, f"keeps parameters of {kind}; {_DTYPE} would do")
    if frozen := [name for name, parameter in parameters.items() if not parameter.requires_grad]:
        raise _wrong(
            own, f"keeps parameters that do not train ({frozen[0]}); requires_grad=True would do"
        )


def _try_training(own: OwnBlocks, block: int, weights: dict[str, Tensor], x_PBTD: Tensor) -> None:
    """Run a block forward, backward, and forward again."""
    leaves = {name: w_P.clone().requires_grad_() for name, w_P in weights.items()}
    x_PBTD = x_PBTD.clone().requires_grad_()
    with _nothing_drawn(own):
        y_PBTD = _output(own, block, leaves, x_PBTD)
    if y_PBTD.dtype != _DTYPE:
        raise _wrong(own, f"makes {y_PBTD.dtype} of {_DTYPE}; both must be one")
    _try_gradient(own, y_PBTD, x_PBTD, [*leaves.values()])
    if not _same(y_PBTD, _output(own, block, leaves, x_PBTD)):
        raise _wrong(
            own,
            "makes something else of the same input when it is called again; no random "
            "numbers and no memory of earlier calls would do",
        )


def _try_gradient(own: OwnBlocks, y_PBTD: Tensor, x_PBTD: Tensor, leaves: list[Tensor]) -> None:
    """Run backward from the output; some parameter has a gradient, if there is any."""
    gradients: Sequence[Tensor | None] = [None]
    if y_PBTD.requires_grad:
        with blaming(own.path):
            gradients = torch.autograd.grad(y_PBTD.sum(), [*leaves, x_PBTD], allow_unused=True)
    if leaves and not any(gradient is not None for gradient in gradients[: len(leaves)]):
        raise _wrong(
            own,
            "no gradient reaches its parameters; a forward without no_grad and detach would do",
        )


def _try_seeds(own: OwnBlocks, block: int, weights: dict[str, Tensor], x_PBTD: Tensor) -> None:
    """Run the module of each seed with its weights: members, which share one, make the same."""
    y_PBTD = _output(own, block, weights, x_PBTD)
    for seed in range(_MEMBERS):
        of_seed = {name: w_P[seed : seed + 1] for name, w_P in weights.items()}
        with blaming(own.path):
            alone_PBTD = own.forward_module(
                own.build(block, seed), of_seed, x_PBTD[seed : seed + 1].clone()
            )
        if _differ(y_PBTD[seed], alone_PBTD[0]):
            raise _wrong(
                own,
                "makes something else with another seed and the same parameters; nn.Parameter for "
                "what the constructor draws would do",
            )


def _try_sequences(own: OwnBlocks, block: int, weights: dict[str, Tensor], x_PBTD: Tensor) -> None:
    """Change the last sequence: outputs of the others stay."""
    y_PBTD = _output(own, block, weights, x_PBTD)
    others, last = x_PBTD[:, :-1], _normal("other", own)[:, -1:]
    other_PBTD = _output(own, block, weights, torch.cat([others, last], dim=1))
    if _differ(y_PBTD[:, :-1], other_PBTD[:, :-1]):
        raise _wrong(
            own,
            "mixes the sequences of a batch; norms and means over each one alone would do",
        )


def _try_causal(own: OwnBlocks, block: int, weights: dict[str, Tensor], x_PBTD: Tensor) -> None:
    """Change the last token, or the last half, of a sequence: outputs before it stay."""
    y_PBTD = _output(own, block, weights, x_PBTD)
    for first in {own.tokens // 2, own.tokens - 1} - {0}:
        earlier, later = x_PBTD[:, :, :first], _normal("other", own)[:, :, first:]
        other_PBTD = _output(own, block, weights, torch.cat([earlier, later], dim=2))
        if _differ(y_PBTD[:, :, :first], other_PBTD[:, :, :first]):
            raise Incompatible(
                f"model.module={own.path}: sees later tokens; take causal in its constructor, or "
                "model.attention=bidirectional"
            )


def _output(own: OwnBlocks, block: int, weights: dict[str, Tensor], x_PBTD: Tensor) -> Tensor:
    """Output of a block, whose forward may change the copy of the input that it is given."""
    with blaming(own.path):
        return own.forward_block(block, weights, x_PBTD.clone())


def _stacked(modules: list[nn.Module]) -> dict[str, Tensor]:
    values = [dict(module.named_parameters()) for module in modules]
    return {name: torch.stack([each[name].detach() for each in values]) for name in values[0]}


def _normal(purpose: str, own: OwnBlocks) -> Tensor:
    """Standard normal input x_PBTD."""
    return _like(purpose, torch.empty(_MEMBERS, _SEQUENCES, own.tokens, own.width))


def _like(purpose: str, x_P: Tensor) -> Tensor:
    """Standard normal numbers of a tensor's shape and type."""
    key_P = rng.key(torch.arange(_MEMBERS), f"trial {purpose}")
    return rng.normal(key_P, x_P[0].numel()).view(x_P.shape).to(x_P.dtype)


def _same(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=0, atol=0, equal_nan=True)


def _differ(a: Tensor, b: Tensor) -> bool:
    """True unless two tensors are the same but for rounding."""
    return bool((a - b).abs().max() > _ROUNDING * a.abs().max())


@contextmanager
def _nothing_drawn(own: OwnBlocks) -> Iterator[None]:
    """Raise UserError if Python's or NumPy's random numbers are drawn."""
    before = _generators()
    yield
    if _generators() != before:
        raise _wrong(
            own,
            "draws at random by random or NumPy, which would not be that of the seed; torch "
            "may draw initial values, and forward nothing",
        )


def _generators() -> object:
    """States of the generators of Python and NumPy."""
    state: Any = np.random.get_state(legacy=True)
    return random.getstate(), state[1].tobytes(), *state[2:]


def _wrong(own: OwnBlocks, what: str) -> UserError:
    return UserError(f"model.module={own.path}: {what}")
