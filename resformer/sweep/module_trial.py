"""Trial of a block of one's own at planning: it can be trained, draws nothing but its initial
values, and with causal attention sees no later token.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from resformer.errors import Incompatible, UserError
from resformer.model.own_class import blaming
from resformer.model.own_module import OwnBlocks
from resformer.numerics import rng

_MEMBERS, _SEQUENCES = 2, 2
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
    with blaming(own.path):
        if not own.parameter_specs:
            raise _wrong(own, "has no parameters; there is nothing to train")
    for block in own.kinds:
        weights, x_PBTD = _weights(own, block), _normal("trial", own)
        _try_training(own, block, weights, x_PBTD)
        if own.causal:
            _try_causal(own, block, weights, x_PBTD)


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
    """Raise UserError for what training would leave as it is."""
    if buffers := [name for name, _ in module.named_buffers()]:
        raise _wrong(own, f"keeps buffers ({buffers[0]}); parameters alone would do")
    frozen = [name for name, tensor in module.named_parameters() if not tensor.requires_grad]
    if frozen:
        raise _wrong(
            own, f"keeps parameters that do not train ({frozen[0]}); requires_grad=True would do"
        )


def _try_training(own: OwnBlocks, block: int, weights: dict[str, Tensor], x_PBTD: Tensor) -> None:
    """Run a block forward, backward, and forward again."""
    leaves = {name: w_P.clone().requires_grad_() for name, w_P in weights.items()}
    x_PBTD = x_PBTD.clone().requires_grad_()
    with blaming(own.path), _nothing_drawn(own):
        y_PBTD: Any = own.forward_block(block, leaves, x_PBTD)
    if not isinstance(y_PBTD, Tensor) or y_PBTD.shape != x_PBTD.shape:
        shape = tuple(y_PBTD.shape[1:]) if isinstance(y_PBTD, Tensor) else type(y_PBTD).__name__
        raise _wrong(own, f"makes {shape} of {tuple(x_PBTD.shape[1:])}; both must have one shape")
    with blaming(own.path):
        torch.autograd.grad(y_PBTD.sum(), [x_PBTD, *leaves.values()], allow_unused=True)
        again_PBTD = own.forward_block(block, leaves, x_PBTD)
    if not _same(y_PBTD, again_PBTD):
        raise _wrong(
            own,
            "makes something else of the same input when it is called again; no random "
            "numbers and no memory of earlier calls would do",
        )


def _try_causal(own: OwnBlocks, block: int, weights: dict[str, Tensor], x_PBTD: Tensor) -> None:
    """Change the last token, or the last half, of a sequence: outputs before it stay."""
    noisy = {name: w_P + _NOISE * _like(name, w_P) for name, w_P in weights.items()}
    with blaming(own.path), torch.no_grad():
        y_PBTD = own.forward_block(block, noisy, x_PBTD)
        for first in {own.tokens // 2, own.tokens - 1} - {0}:
            earlier, later = x_PBTD[:, :, :first], _normal("other", own)[:, :, first:]
            other_PBTD = own.forward_block(block, noisy, torch.cat([earlier, later], dim=2))
            change = (y_PBTD - other_PBTD)[:, :, :first].abs().max()
            if change > _ROUNDING * y_PBTD.abs().max():
                raise Incompatible(
                    f"model.module={own.path}: sees later tokens; take causal in its constructor, "
                    "or model.attention=bidirectional"
                )


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
