"""Self-test of kernels: each against torch's operations, on small tensors."""

import ctypes
import math
import signal
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import accumulate
from pathlib import Path

import torch
from torch import Tensor

from resformer.keys import ACTIVATIONS
from resformer.numerics.backends import eager
from resformer.numerics.backends.base import (
    GATED,
    AdamWSettings,
    AttentionSettings,
    AttentionWeights,
    Backend,
    FfnWeights,
    Linear,
    NormWeights,
)
from resformer.numerics.backends.kernels.functions import NORM_EPSILON, Kernels
from resformer.numerics.backends.kernels.program import (
    ModelPlan,
    NormPlan,
    Program,
    SublayerPlan,
    WeightPlan,
)

FILES = (Path(__file__), Path(__file__).with_name("functions.py"))
"""Files that the self-test of another backend depends on, besides its own."""

_MEMBERS, _SEQUENCES, _TOKENS, _WIDTH, _HEADS, _HIDDEN = 2, 3, 5, 24, 3, 40
_TARGETS, _VOCABULARY = 2, 19
"""Sizes that fill no vector of a processor, and more than one."""
_WINDOW = 16
"""Tokens that fill vectors."""
_TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-10}
"""Largest difference, relative for numbers over 1: sums of at most 40 terms of size 1 in another
order differ by some 1e-6 in float32, of which a norm of width 24 makes ten times as much.
"""
_ROUGH = {"tf32": 3e-2, "bf16": 6e-2}
"""Largest difference of products in these precisions from those in float32, relative to the largest
number. Rounded to 11 bits in tf32, 8 in bf16, a factor is off by 2e-4 or 2e-3 at most; five
products, one after the other, by 7e-4 or 8e-3. A hidden unit beside the kink of ReLU adds a
gradient of 1e-2 to 3e-2 where it is rounded to the other side.
"""
_K = _WIDTH // _HEADS
_ATTENTION = AttentionSettings(tokens=_TOKENS, heads=_HEADS, causal=True, scale=_K**-0.5)
_WHOLE = replace(_ATTENTION, tokens=_WINDOW)
_ROTARY = replace(_ATTENTION, causal=False, rotary_base=100.0)
_ADAMW = AdamWSettings(beta1=0.9, beta2=0.98, eps=1e-8, weight_decay=0.1)
_SHAPES = {
    **{f"attention {index}": (_WIDTH, _WIDTH) for index in range(4)},
    **{f"attention bias {index}": (_WIDTH,) for index in range(4)},
    **{f"head gain {index}": (_K,) for index in range(2)},
    **{f"hidden {index}": (_WIDTH, _HIDDEN) for index in range(2)},
    **{f"hidden bias {index}": (_HIDDEN,) for index in range(2)},
    "out": (_HIDDEN, _WIDTH),
    **{f"norm {index}": (_WIDTH,) for index in range(3)},
    "token": (_VOCABULARY, _WIDTH),
    "position": (_TOKENS, _WIDTH),
    "head": (_WIDTH, _VOCABULARY),
    "head bias": (_VOCABULARY,),
    "weight": (_WIDTH,),
}
"""Shapes of a member's weights."""
_COLUMNS = slice(7, 100)

_PROCESS = """
import ctypes, torch
from resformer.numerics.backends.kernels import selftest, sources
from resformer.numerics.backends.kernels.functions import Kernels
selftest.deviation(Kernels(sources.bind(ctypes.CDLL({library!r}))), {dtype})
"""
"""A program that loads and tests a library."""
_MOST_SECONDS = 60.0
"""Time for it; nearly all goes into the import of torch."""

_Operation = Callable[[Backend, Tensor, Mapping[str, Tensor]], Tensor]
"""Backend, input x_PRD and weights by name → output."""


def crash(library: Path, dtype: torch.dtype) -> str:
    """Describe how a new library ends a process that loads and tests it, as by SIGILL where it is
    made for another processor; "" if it does not.
    """
    return in_process(_PROCESS.format(library=str(library), dtype=dtype), _MOST_SECONDS)[0]


def in_process(code: str, most_seconds: float) -> tuple[str, str]:
    """Run a self-test in a process of its own: how that crashes, in words behind the name of what
    is tested, "" if it does not; and what it prints.

    The process is started anew: a fork of one in which torch has started threads can hang.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", f"import sys\nsys.path = {sys.path!r}\n{code}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            timeout=most_seconds,
            start_new_session=True,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"does not end its self-test within {most_seconds:g} s", ""
    if done.returncode < 0:
        return f"ends its self-test by {signal.Signals(-done.returncode).name}", ""
    return "", done.stdout


def deviation(
    ours: Backend,
    dtype: torch.dtype,
    device: str = "cpu",
    names: Collection[str] | None = None,
    precision: str = "fp32",
) -> str:
    """The first kernel whose numbers are not those of torch's operations; "" if there is none.

    Of sub-layers and norms these alone are tested, by default all. Matrix products of the kernels
    are in this precision, those of torch in float32.
    """
    operations = _operations()
    assert names is None or operations.keys() >= set(names)
    generator = torch.Generator().manual_seed(0)
    rows, count = _SEQUENCES * _WINDOW, sum(map(math.prod, _SHAPES.values()))
    x_PRD = torch.randn(_MEMBERS, rows, _WIDTH, dtype=dtype, generator=generator).to(device)
    flat_PN = torch.randn(_MEMBERS, count, dtype=dtype, generator=generator).to(device) * 0.3
    tests: dict[str, Callable[[Backend], Sequence[Tensor]]] = {
        **{
            name: partial(_with_gradients, operation, x_PRD, flat_PN)
            for name, operation in operations.items()
            if names is None or name in names
        },
        "clipping": partial(_clipped, flat_PN),
        "AdamW": partial(_moved, flat_PN),
    }
    if isinstance(ours, Kernels):
        tests["a whole step"] = partial(_step, flat_PN)
    for name, test in tests.items():
        with _products_in("fp32", device):
            reference = test(eager)
        with _products_in(precision, device):
            computed = test(ours)
        if not _same(computed, reference, precision):
            return name
    return ""


@contextmanager
def _products_in(precision: str, device: str) -> Iterator[None]:
    """Matrix products in a precision, as `Population` and the model set it; then as before, since
    the switch of tf32 is of the whole process.
    """
    switch = torch.backends.cuda.matmul
    before = switch.fp32_precision
    switch.fp32_precision = "tf32" if precision == "tf32" else "ieee"
    try:
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
            yield
    finally:
        switch.fp32_precision = before


def _operations() -> dict[str, _Operation]:
    """Sub-layers and norms, with and without what a model may leave out."""
    return {
        "attention": partial(_attend, settings=_ATTENTION, biased=True),
        "attention to whole vectors": partial(_attend, settings=_WHOLE),
        "attention with norms of heads": partial(_attend, settings=_ATTENTION, normed=True),
        "attention with rope": partial(_attend, settings=_ROTARY),
        "attention with norms of heads and rope": partial(_attend, settings=_ROTARY, normed=True),
        **{f"the FFN with {name}": partial(_ffn, activation=name) for name in ACTIVATIONS},
        **{f"the norm {kind}": partial(_norm, kind=kind) for kind in NORM_EPSILON},
    }


def _attend(
    backend: Backend,
    x_PRD: Tensor,
    w: Mapping[str, Tensor],
    *,
    settings: AttentionSettings,
    biased: bool = False,
    normed: bool = False,
) -> Tensor:
    query, key, value, output = (
        Linear(w[f"attention {index}"], w[f"attention bias {index}"] if biased else None)
        for index in range(4)
    )
    weights = AttentionWeights(query=query, key=key, value=value, output=output)
    if normed:
        weights = weights._replace(query_gain_PK=w["head gain 0"], key_gain_PK=w["head gain 1"])
    return backend.attend(x_PRD[:, : _SEQUENCES * settings.tokens], weights, settings)


def _ffn(backend: Backend, x_PRD: Tensor, w: Mapping[str, Tensor], activation: str) -> Tensor:
    """FFN with biases, but with swiglu, where the gate alone has one."""
    into, out = Linear(w["hidden 0"], w["hidden bias 0"]), Linear(w["out"], w["norm 2"])
    if activation not in GATED:
        return backend.ffn(x_PRD, FfnWeights(ffn_in=into, ffn_out=out), activation)
    if activation == "swiglu":
        into, out = Linear(w["hidden 0"]), Linear(w["out"])
    gate = Linear(w["hidden 1"], w["hidden bias 1"])
    return backend.ffn(x_PRD, FfnWeights(ffn_in=into, ffn_out=out, gate=gate), activation)


def _norm(backend: Backend, x_PRD: Tensor, w: Mapping[str, Tensor], kind: str) -> Tensor:
    bias_PD = w["norm 1"] if kind == "layer" else None
    return backend.norm(x_PRD, NormWeights(gain_PD=w["norm 0"], bias_PD=bias_PD), kind)


@torch.enable_grad()
def _with_gradients(
    operation: _Operation, x_PRD: Tensor, flat_PN: Tensor, backend: Backend
) -> list[Tensor]:
    """Output, and the gradients of x and all weights for a fixed gradient of the output."""
    x_PRD, flat_PN = (tensor.clone().requires_grad_() for tensor in (x_PRD, flat_PN))
    y_PRD = operation(backend, x_PRD, _by_name(flat_PN))
    slope_PRD = torch.linspace(-1, 1, y_PRD.numel(), dtype=x_PRD.dtype, device=x_PRD.device)
    # To give `grad` the slopes would have it import sympy: 0.4 s.
    total = (y_PRD.flatten() * slope_PRD).sum()
    return [y_PRD.detach(), *torch.autograd.grad(total, (x_PRD, flat_PN))]


def _by_name(flat_PN: Tensor) -> dict[str, Tensor]:
    """Weights of all members, views."""
    parts = flat_PN.split_with_sizes([*map(math.prod, _SHAPES.values())], dim=1)
    return {
        name: part.view(-1, *shape)
        for (name, shape), part in zip(_SHAPES.items(), parts, strict=True)
    }


def _step(flat_PN: Tensor, backend: Backend) -> list[Tensor]:
    """Losses and gradients of a step of one block: x' = x + F(N(x)), then x' = N(x + w⊙F(x)); and
    of an evaluation on the first member's batch the sums of losses, and the predicted targets.
    """
    inputs_PBT, targets_PBU = _drawn()
    if isinstance(backend, Kernels):
        program = Program(backend.library, _plan(), {})
        step = program.gradient(flat_PN, inputs_PBT, targets_PBU)
        return [*step, *program.score(flat_PN, inputs_PBT[0], targets_PBU[0])]
    with torch.enable_grad():
        leaf_PN = flat_PN.clone().requires_grad_()
        loss_PR, _ = _losses(leaf_PN, inputs_PBT, targets_PBU)
        loss_P = loss_PR.sum(1) / (targets_PBU >= 0).flatten(1).sum(1)
        (grad_PN,) = torch.autograd.grad(loss_P.sum(), leaf_PN)
    same = (part[:1].expand(_MEMBERS, -1, -1) for part in (inputs_PBT, targets_PBU))
    scored_PR, right_PR = _losses(flat_PN, *same)
    return [loss_P.detach(), grad_PN, scored_PR.sum(1).double(), right_PR.sum(1).double()]


def _plan() -> ModelPlan:
    """Plan of that step."""
    sizes = [*map(math.prod, _SHAPES.values())]
    column = dict(zip(_SHAPES, accumulate(sizes, initial=0), strict=False))
    attention = [
        column[name]
        for index in range(4)
        for name in (f"attention {index}", f"attention bias {index}")
    ]
    ffn = [column[name] for name in ("hidden 0", "hidden bias 0", "out", "norm 2")]
    none, one = NormPlan(-1, -1), WeightPlan(1.0, -1, 0)
    norm = NormPlan(column["norm 0"], column["norm 1"])
    sublayers = (SublayerPlan * 2)(
        SublayerPlan(
            attention=1,
            norm_in=norm,
            norm_branch=none,
            norm_out=none,
            input_scale=1.0,
            skip=one,
            branch=one,
            weights=(ctypes.c_long * 10)(*attention, -1, -1),
        ),
        SublayerPlan(
            attention=0,
            norm_in=none,
            norm_branch=none,
            norm_out=norm,
            input_scale=1.0,
            skip=one,
            branch=WeightPlan(1.0, column["weight"], _WIDTH),
            weights=(ctypes.c_long * 10)(*ffn, *[-1] * 6),
        ),
    )
    return ModelPlan(
        tokens=_TOKENS,
        targets=_TARGETS,
        vocabulary=_VOCABULARY,
        width=_WIDTH,
        heads=_HEADS,
        hidden=_HIDDEN,
        causal=1,
        activation=0,
        centred=1,
        tied=0,
        num_sublayers=len(sublayers),
        attention_scale=_ATTENTION.scale,
        head_epsilon=0.0,
        norm_epsilon=NORM_EPSILON["layer"],
        embedding_scale=1.0,
        logit_scale=1.0,
        token=column["token"],
        position=column["position"],
        head=column["head"],
        head_bias=column["head bias"],
        last=none,
        sublayers=sublayers,
    )


def _drawn() -> tuple[Tensor, Tensor]:
    """Inputs and targets of two members, of whom one has a target that does not count."""
    inputs = torch.arange(_MEMBERS * _SEQUENCES * _TOKENS) % _VOCABULARY
    targets = torch.arange(_MEMBERS * _SEQUENCES * _TARGETS) * 5 % _VOCABULARY
    targets[1] = -1
    return inputs.view(_MEMBERS, _SEQUENCES, _TOKENS), targets.view(_MEMBERS, _SEQUENCES, _TARGETS)


def _losses(flat_PN: Tensor, inputs_PBT: Tensor, targets_PBU: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropies of that block on the targets, 0 where they do not count, and True where they
    are predicted, (P, R) each, in torch's operations.
    """
    w = _by_name(flat_PN)
    token = torch.stack([own[read] for own, read in zip(w["token"], inputs_PBT, strict=True)])
    x_PRD = (token + w["position"].unsqueeze(1)).flatten(1, 2)
    h_PRD = _norm(eager, x_PRD, w, kind="layer")
    x_PRD = x_PRD + _attend(eager, h_PRD, w, settings=_ATTENTION, biased=True)
    f_PRD = _ffn(eager, x_PRD, w, activation="relu")
    x_PRD = _norm(eager, x_PRD + w["weight"].unsqueeze(1) * f_PRD, w, kind="layer")
    x_PRD = x_PRD.unflatten(1, (_SEQUENCES, _TOKENS))[:, :, -_TARGETS:].flatten(1, 2)
    logits_PRV = eager.linear(x_PRD, Linear(w["head"], w["head bias"]))
    targets_PR = targets_PBU.flatten(1)
    wanted_PR = logits_PRV.gather(-1, targets_PR.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    loss_PR = (logits_PRV.logsumexp(-1) - wanted_PR) * (targets_PR >= 0)
    return loss_PR, logits_PRV.argmax(-1) == targets_PR


@torch.no_grad()
def _clipped(flat_PN: Tensor, backend: Backend) -> list[Tensor]:
    """A gradient that is clipped and one that is not, and their norms before."""
    grad_PN = flat_PN * flat_PN.new_tensor([[1e-3], [1.0]])
    norm_P = backend.clip(grad_PN, 1.0)
    return [grad_PN, norm_P]


@torch.no_grad()
def _moved(flat_PN: Tensor, backend: Backend) -> list[Tensor]:
    """Parameters and moments after a step of AdamW of some columns."""
    flat_PN, grad_PN = flat_PN.clone(), flat_PN.flip(1)
    exp_avg_PN, exp_avg_sq_PN = flat_PN * 0.1, flat_PN.square() * 0.1
    backend.adamw(
        flat_PN[:, _COLUMNS],
        grad_PN[:, _COLUMNS],
        exp_avg_PN[:, _COLUMNS],
        exp_avg_sq_PN[:, _COLUMNS],
        flat_PN.new_full((_MEMBERS,), 1e-2),
        _ADAMW,
        torch.tensor(3, device=flat_PN.device),
    )
    return [flat_PN, exp_avg_PN, exp_avg_sq_PN]


def _same(ours: Sequence[Tensor], reference: Sequence[Tensor], precision: str) -> bool:
    pairs = zip(ours, reference, strict=True)
    if precision in _ROUGH:
        return all(_off(ours_, theirs) < _ROUGH[precision] for ours_, theirs in pairs)
    tolerance = _TOLERANCE[reference[0].dtype]
    return all(
        torch.allclose(ours_, theirs, rtol=tolerance, atol=tolerance) for ours_, theirs in pairs
    )


def _off(ours: Tensor, reference: Tensor) -> float:
    """Largest difference, relative to the largest number; NaN if there is one."""
    return float((ours - reference).abs().max() / reference.abs().max())
