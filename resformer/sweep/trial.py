"""Trial of a scheme and a task at planning, in milliseconds: their constants are names that there
are, and their methods return what a model can go on with.
"""

import copy
import dataclasses
import functools
import math
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from resformer import plugins
from resformer.errors import UserError
from resformer.keys import NORMS, OWN
from resformer.model.settings import ModelSettings
from resformer.model.transformer import Transformer
from resformer.numerics import rng
from resformer.numerics.parameters import initial_values
from resformer.plugins import PACKAGES
from resformer.residuals.base import Architecture, Residual
from resformer.tasks.base import IGNORE_INDEX, Regression, SequenceToSequence, Task

_MEMBERS, _SEQUENCES, _TOKENS, _SYMBOLS, _HIDDEN = 2, 3, 5, 7, 8
_TINY = Architecture(
    depth=2, distinct_blocks=2, width=8, heads=2, tokens=_TOKENS, causal=True, bias=True
)
_LARGEST = 2**22
"""L·D² of the largest model in which a scheme is tried: 16 million parameters, seconds."""

_READING = ("read", "stream_output", "reduce_streams")
_WRITING = ("expand_streams", "write", "apply_post_norm")
"""Methods that return a tensor x_PRD, and those that return streams."""

_tried: set[tuple[type[Residual[Any]], Architecture]] = set()
"""Schemes that passed, and in what: a sweep may have each with thousands of settings, which take
3 ms each.
"""


def try_scheme(residual: Residual[Any], model: ModelSettings) -> None:
    """Run a tiny model with a scheme forward, or where the scheme refuses its sizes, one of the
    request's; UserError names the method that fails. A model too large for that is not tried.
    """
    own = Architecture(
        depth=model.depth,
        distinct_blocks=model.depth,
        width=model.width,
        heads=model.heads,
        tokens=_TOKENS,
        causal=model.attention == "causal",
        bias=model.bias,
    )
    with _trying(residual):
        _check_constants(residual)
        residual.parameters(own)
    try:
        _try(residual, _TINY, passed=_TINY)
    except UserError:
        if own.depth * own.width**2 <= _LARGEST:
            _try(residual, own, passed=dataclasses.replace(own, depth=0))


def _try(residual: Residual[Any], architecture: Architecture, *, passed: Architecture) -> None:
    """Run a model of this architecture unless one of those that `passed` stands for did."""
    if (type(residual), passed) not in _tried:
        with _trying(residual):
            _run_forward(residual, architecture)
        _tried.add((type(residual), passed))


def _check_constants(residual: Residual[Any]) -> None:
    if isinstance(residual.norms, str):
        raise _wrong(residual, f"norms is a text, must be a tuple: ({residual.norms!r},)")
    if not isinstance(residual.norms, Collection) or not residual.norms:
        norms = "empty" if isinstance(residual.norms, Collection) else _kind(residual.norms)
        must = f"must be a tuple of some of {', '.join((OWN, *NORMS))}"
        raise _wrong(residual, f"norms is {norms}, {must}")
    _require_names(residual, "norms", residual.norms, (OWN, *NORMS))
    _require_names(residual, "own_norm", [residual.own_norm], residual.norms)


def _run_forward(residual: Residual[Any], architecture: Architecture) -> None:
    watched = copy.copy(residual)
    vars(watched).update({name: _watched(watched, name) for name in (*_READING, *_WRITING)})
    settings = ModelSettings(
        depth=architecture.depth,
        loops=1,
        width=architecture.width,
        heads=architecture.heads,
        hidden=_HIDDEN,
        activation="relu",
        attention="causal" if architecture.causal else "bidirectional",
        norm=residual.own_norm,
        norm_kind="layer",
        qk_norm=False,
        bias=True,
        position="learned",
        rope_base=None,
        tied=False,
        parametrisation="standard",
        base_depth=None,
        base_width=None,
        base_heads=None,
        module=None,
        skip="both",
    )
    model = Transformer(
        settings=settings,
        residual=watched,
        vocabulary=_SYMBOLS,
        numbers=None,
        from_last=False,
        tokens=_TOKENS,
        num_targets=_TOKENS,
        dropout=0.0,
        compile=False,
    )
    seed_P = torch.arange(_MEMBERS)
    symbols = rng.integers(rng.key(seed_P, "trial"), _SEQUENCES * _TOKENS, _SYMBOLS)
    flat_PN = initial_values(model.parameter_specs, seed_P, torch.float32)
    inputs_PBT = symbols.view(_MEMBERS, _SEQUENCES, _TOKENS)
    model.forward(flat_PN, inputs_PBT, rng.key(seed_P, "step") if residual.random else None)
    model.activations(flat_PN, inputs_PBT)  # without random numbers, as in an evaluation


def _watched(residual: Residual[Any], method: str) -> Callable[..., Any]:
    """The method of a scheme that makes, changes or reads its streams, with its result checked."""
    original = getattr(residual, method)  # before the scheme's own calls are watched, too

    def call(streams: Any, *rest: Any) -> Any:
        many = isinstance(streams, tuple)
        f_PRD = rest[0] if method == "write" else None
        given = [*(streams if many else [streams]), *([f_PRD] if method == "write" else [])]
        versions = [x_PRD._version for x_PRD in given]
        result = original(streams, *rest)
        for x_PRD, version in zip(given, versions, strict=True):
            if method in ("read", "write") and x_PRD._version != version:
                what = "f" if x_PRD is f_PRD else "x"
                raise _wrong(residual, f"{method} changed {what} in place; return a new tensor")
        x_PRD = given[0]
        if method in _READING:
            _require_like(residual, method, result, x_PRD.shape[-3:], x_PRD.dtype)
            return result
        if many and not (isinstance(result, tuple) and result):
            returned = f"{method} returned {_kind(result)}"
            raise _wrong(residual, f"{returned}, must be a tuple of streams")
        for stream in result if isinstance(result, tuple) else [result]:
            if not isinstance(stream, Tensor):
                must = "must be a tensor or a tuple of tensors"
                raise _wrong(residual, f"{method} returned {_kind(stream)}, {must}")
            last = stream[(0,) * max(stream.ndim - 3, 0)]  # one of those stacked in front
            _require_like(residual, method, last, x_PRD.shape[-3:], x_PRD.dtype)
        return result

    return call


def _require_like(
    residual: Residual[Any], method: str, result: Any, shape: torch.Size, dtype: torch.dtype
) -> None:
    """Raise UserError unless a method returned a tensor like a stream of this shape."""
    if not isinstance(result, Tensor):
        raise _wrong(residual, f"{method} returned {_kind(result)}, must be a tensor like its x")
    if result.shape != shape:
        must = f"must be that of its x, {list(shape)}"
        raise _wrong(residual, f"{method} returned shape {list(result.shape)}, {must}")
    if result.dtype != dtype:
        must = f"must be that of its x, {str(dtype).removeprefix('torch.')}"
        raise _wrong(residual, f"{method} returned {_kind(result)}, {must}")


@functools.cache
def try_task(task: Task) -> None:
    """Draw a few sequences of a task; UserError names what cannot be a source or target."""
    with _trying(task):
        _draw(task)


def _draw(task: Task) -> None:
    _require_names(task, "attention", [task.attention], task.attentions)
    tokens = "numbers" if isinstance(task, Regression) else "num_symbols"
    for size in ("sequence_length", tokens, "num_inputs"):
        if not isinstance(number := getattr(task, size), int):
            raise _wrong(task, f"{size} is {_kind(number)}, must be a whole number of Python")
        if number < 1:
            raise _wrong(task, f"{size} is {number}, must be at least 1")
    source_PBU, target_PBU = _drawn(task, "draw", _SEQUENCES)
    if isinstance(task, SequenceToSequence):
        version = source_PBU._version
        task.target(source_PBU)
        if source_PBU._version != version:
            raise _wrong(task, "target changed its source in place; return a new tensor")
        _require_symbols(task, "target returned", target_PBU, IGNORE_INDEX)
    else:
        _require_drawn(task, "draw", source_PBU, target_PBU)
    apart: object = task.num_held_out
    if apart is not None:
        if not isinstance(apart, int):
            must = "must be a whole number of Python, or None"
            raise _wrong(task, f"num_held_out is {_kind(apart)}, {must}")
        _require_drawn(task, "draw_held_out", *_drawn(task, "draw_held_out", _SEQUENCES))
    blind_loss: object = task.blind_loss()
    if not isinstance(blind_loss, float | int):
        must = "must be a number of Python"
        raise _wrong(task, f"blind_loss returned {_kind(blind_loss)}, {must}")
    if not math.isfinite(blind_loss):
        raise _wrong(task, f"blind_loss returned {blind_loss}, must be a number")


def _drawn(task: Task, method: str, sequences: int) -> tuple[Any, Any]:
    """Source and target of a few sequences of two members, by a method of a task."""
    drawn: object = getattr(task, method)(rng.key(torch.arange(_MEMBERS), "trial"), sequences)
    if not isinstance(drawn, tuple | list) or len(drawn) != 2:
        raise _wrong(task, f"{method} returned {_kind(drawn)}, must be a source and a target")
    source_PBU, target_PBU = drawn
    return source_PBU, target_PBU


def _require_drawn(task: Task, method: str, source_PBU: Any, target_PBU: Any) -> None:
    """Raise UserError unless these are sources and targets, (P, B, U) int64, or of real numbers,
    (P, B, U, X) and (P, B, U) float32.
    """
    if isinstance(task, Regression):
        _require_numbers(task, f"{method} returned a source of", source_PBU, (task.numbers,))
        _require_numbers(task, f"{method} returned a target of", target_PBU, ())
        return
    _require_symbols(task, f"{method} returned a source of", source_PBU, 0)
    _require_symbols(task, f"{method} returned a target of", target_PBU, IGNORE_INDEX)


def _require_symbols(task: Task, returned: str, drawn: Any, least: int) -> None:
    """Raise UserError unless these are the symbols of a few sequences, (P, B, U) int64."""
    if not isinstance(drawn, Tensor) or drawn.dtype != torch.int64:
        raise _wrong(task, f"{returned} {_kind(drawn)}, must be int64")
    shape = [_MEMBERS, _SEQUENCES, task.sequence_length]
    if list(drawn.shape) != shape:
        raise _wrong(task, f"{returned} shape {list(drawn.shape)}, must be {shape}")
    for symbol in (int(drawn.min()), int(drawn.max())):
        if not least <= symbol < task.num_symbols:
            there_are = f"there are 0 to {task.num_symbols - 1}"
            raise _wrong(task, f"{returned} symbol {symbol}, {there_are}")


def _require_numbers(task: Task, returned: str, drawn: Any, of_token: tuple[int, ...]) -> None:
    """Raise UserError unless these are real numbers of a few sequences, (P, B, U, …) float32."""
    if not isinstance(drawn, Tensor) or drawn.dtype != torch.float32:
        raise _wrong(task, f"{returned} {_kind(drawn)}, must be float32")
    shape = [_MEMBERS, _SEQUENCES, task.sequence_length, *of_token]
    if list(drawn.shape) != shape:
        raise _wrong(task, f"{returned} shape {list(drawn.shape)}, must be {shape}")


def _require_names(
    variant: Residual[Any] | Task, constant: str, names: Collection[str], known: Collection[str]
) -> None:
    """Raise UserError unless a constant of a class names what there is."""
    if unknown := [str(name) for name in names if name not in known]:
        must = f"must be of {', '.join(known)}"
        raise _wrong(variant, f"{constant} says {', '.join(unknown)}, {must}")


def _kind(value: Any) -> str:
    """None, the dtype of a tensor, or the type of anything else."""
    if isinstance(value, Tensor):
        return str(value.dtype).removeprefix("torch.")
    return "None" if value is None else type(value).__name__


def _package(variant: Residual[Any] | Task) -> str:
    return PACKAGES["task" if isinstance(variant, Task) else "model.residual"]


@contextmanager
def _trying(variant: Residual[Any] | Task) -> Iterator[None]:
    """One thread, as threads for such small tensors only wait for each other; and errors are those
    of the variant.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with plugins.blaming(_package(variant), plugins.name_of(variant)), torch.no_grad():
            yield
    finally:
        torch.set_num_threads(threads)


def _wrong(variant: Residual[Any] | Task, what: str) -> UserError:
    return UserError(f"{plugins.choice(_package(variant), plugins.name_of(variant))}: {what}")
