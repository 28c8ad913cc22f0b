"""Triton's kernels against torch's own operations: on a GPU where there is one, else in Triton's
interpreter, see `conftest`.
"""

import dataclasses
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import interpreter, shapes
from support.pairwise import Row, covering
from support.schemes import scheme
from support.sublayers import BLOCKS, SUBLAYERS, Block, outcome
from torch import Tensor

from resformer.keys import ACTIVATIONS, NORM_KINDS, PRECISIONS
from resformer.model.shape import Member, Shape
from resformer.numerics.backends import availability, compiled, eager
from resformer.numerics.backends.base import AdamWSettings, NormWeights
from resformer.numerics.backends.fused import backend as fused
from resformer.numerics.backends.fused import tiles
from resformer.numerics.backends.kernels import selftest
from resformer.training.population import Population

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

# Sums of at most some hundred terms of size 1 in another order differ by some 1e-6; gradients of
# weights, whose terms grow with those of a norm, by ten times as much.
TOLERANCE = 3e-5


@pytest.fixture(autouse=True)
def _interpreter(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The interpreter computes in numpy, which would warn of NaN and infinity."""
    interpreter.repair_bfloat16(monkeypatch)
    interpreter.round_arguments(monkeypatch)
    with np.errstate(all="ignore"):
        yield


def drawn(block: Block, members: int, sequences: int) -> tuple[Tensor, Tensor]:
    x_PRD, flat_PN = block.drawn(members, sequences, torch.float32)
    return x_PRD.to(DEVICE), flat_PN.to(DEVICE)


SIZES: dict[str, tuple[Any, ...]] = {
    # One token, windows with idle tokens, two sequences in a window, all tokens of the largest one.
    "tokens": (1, 8, 10, 16, 32),
    # Widths and heads that are powers of two and that are not, heads below 16 and above.
    "heads": ((1, 1), (1, 20), (3, 5), (4, 8), (2, 32), (8, 2), (4, 4)),
    "hidden": (10, 64, 70),
    "causal": (False, True),
    "bias": (False, True),
    "gains": (False, True),
    "rotary_base": (None, 100.0),
    "activation": ACTIVATIONS,
    "norm": NORM_KINDS[:2],
    "sequences": (1, 3, 12),
}


def allowed(row: Row) -> bool:
    """Rotations turn pairs; many tokens of many sequences would take the interpreter seconds."""
    turned = row.get("rotary_base") is not None
    if turned and "heads" in row and row["heads"][1] % 2:
        return False
    return row.get("tokens", 1) * row.get("sequences", 1) <= 130


@pytest.mark.parametrize("row", covering(SIZES, allowed), ids=lambda row: f"{row['tokens']} tokens")
def test_kernels_compute_what_torch_computes(row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any sizes: rows of no whole tile, of several programs, and of several tiles of a program."""
    monkeypatch.setattr(tiles, "_GROUP", 64)  # so that few rows are those of several programs
    heads, head_width = row["heads"]
    own = {key: value for key, value in row.items() if key not in ("heads", "sequences")}
    block = Block(width=heads * head_width, **{**own, "heads": heads})
    x_PRD, flat_PN = drawn(block, 2, row["sequences"])
    for name in SUBLAYERS:
        if name == "norm" and block.width < 8:
            continue  # a norm of few numbers that hardly differ makes more of round-off
        theirs = outcome(name, eager, block, x_PRD, flat_PN)
        for ours, expected in zip(outcome(name, fused, block, x_PRD, flat_PN), theirs, strict=True):
            off = (ours - expected).abs().max() / expected.abs().max().clamp(min=1e-3)
            assert off < TOLERANCE, name


@pytest.mark.parametrize("block", BLOCKS, ids=["classic", "modern"])
@pytest.mark.parametrize("name", SUBLAYERS)
def test_autocast_is_heeded(block: Block, name: str) -> None:
    """Products in bf16, outputs in the types that torch's operations give them."""
    x_PRD, flat_PN = drawn(block, 2, 3)
    exact = outcome(name, eager, block, x_PRD, flat_PN)
    for x in (x_PRD, x_PRD.bfloat16()):
        with torch.autocast(DEVICE, torch.bfloat16):
            ours = outcome(name, fused, block, x, flat_PN)
            theirs = outcome(name, eager, block, x, flat_PN)
        assert [part.dtype for part in ours] == [part.dtype for part in theirs]
        for part, torchs, expected in zip(ours, theirs, exact, strict=True):
            # The same factors are rounded, and less of what lies between two products.
            off, torchs_off = ((each - expected).abs().max() for each in (part, torchs))
            assert off <= 1.2 * torchs_off + 1e-6 * expected.abs().max()
            if name != "norm":
                assert off > 1e-4 * expected.abs().max()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("block", BLOCKS, ids=["classic", "modern"])
def test_values_that_are_not_finite_are_seen_and_stay_with_their_member(
    block: Block, bad: float
) -> None:
    """Others keep the bits that they have alone. Of its own member, a token that is not finite may
    spoil a sequence that shares its window.
    """
    x_PRD, flat_PN = drawn(block, 3, 4)
    spoilt_PRD = x_PRD.clone()
    spoilt_PRD[1, 5, 3] = bad
    for name in SUBLAYERS:
        alone = block.compute(name, fused, x_PRD[2:], flat_PN[2:])
        clean = outcome(name, fused, block, x_PRD, flat_PN)
        broken = outcome(name, fused, block, spoilt_PRD, flat_PN)
        expected = outcome(name, eager, block, spoilt_PRD, flat_PN)
        assert torch.equal(clean[0][2], alone[0])
        for ours, before, theirs in zip(broken, clean, expected, strict=True):
            assert torch.equal(ours[[0, 2]], before[[0, 2]])
            assert not torch.isfinite(ours[1])[~torch.isfinite(theirs[1])].any()


@pytest.mark.parametrize(
    ("block", "names"),
    [
        (Block(tokens=33), ["attend"]),
        (Block(width=72), ["attend"]),
        (Block(width=136, tokens=2), ["attend", "ffn"]),
        (Block(width=1032, heads=1, hidden=8, tokens=1), SUBLAYERS),
    ],
    ids=["tokens", "width of attention", "width of an FFN", "width of a norm"],
)
def test_what_is_too_large_is_torchs(block: Block, names: list[str]) -> None:
    x_PRD, flat_PN = drawn(block, 1, 2)
    for name in names:
        for ours, theirs in zip(
            outcome(name, fused, block, x_PRD, flat_PN),
            outcome(name, eager, block, x_PRD, flat_PN),
            strict=True,
        ):
            assert torch.equal(ours, theirs)


@pytest.mark.parametrize("precision", ["ieee", "tf32", "bf16"])
def test_no_tile_of_scores_is_larger_than_registers_take(precision: str) -> None:
    """Of many heads and many tokens, which torch computes, and of all others."""
    assert tiles.attention_tiles(tokens=32, heads=16, head_width=4, precision=precision) is None
    for tokens, heads, head_width in itertools.product((1, 10, 16, 32), (1, 3, 8, 32), (1, 2, 8)):
        tile = tiles.attention_tiles(
            tokens=tokens, heads=heads, head_width=head_width, precision=precision
        )
        if tile is not None:
            assert 0 < tile.heads * tile.windows * tile.window**2 <= 8192


def test_what_no_kernel_computes_is_torchs() -> None:
    """float64; norms of several streams, and those that are functions of single numbers."""
    x_PRD, flat_PN = (part.to(DEVICE) for part in Block().drawn(2, 2, torch.float64))
    for name in SUBLAYERS:
        ours, theirs = (Block().compute(name, each, x_PRD, flat_PN) for each in (fused, eager))
        assert torch.equal(ours, theirs)
    x_SPRD, ones_PD = torch.stack([x_PRD, x_PRD]).float(), torch.ones(2, 32, device=DEVICE)
    several = NormWeights(gain_PD=ones_PD)
    assert torch.equal(fused.norm(x_SPRD, several, "rms"), eager.norm(x_SPRD, several, "rms"))
    tanh = NormWeights(gain_PD=ones_PD, slope_P1=ones_PD[:, :1])
    x_PRD = x_PRD.float()
    assert torch.equal(fused.norm(x_PRD, tanh, "dyt"), eager.norm(x_PRD, tanh, "dyt"))


def test_clipping_is_that_of_torch() -> None:
    """Of a gradient that is clipped, one that is not, and one that is not finite."""
    generator = torch.Generator().manual_seed(0)
    grad_PN = torch.randn(3, 10_000, generator=generator).to(DEVICE)
    grad_PN[1] *= 1e-3
    grad_PN[2, 7_000] = float("nan")
    for most in (1.0, None):
        ours, theirs = grad_PN.clone(), grad_PN.clone()
        norm_P, expected_P = fused.clip(ours, most), eager.clip(theirs, most)
        # The sum of 10,000 squares in another order: its rounding is at most their number's root.
        assert torch.allclose(norm_P, expected_P, rtol=1e-5, equal_nan=True)
        assert torch.allclose(ours, theirs, rtol=1e-5, equal_nan=True)
        assert torch.equal(ours[1], grad_PN[1])


def test_a_step_of_adamw_is_that_of_torch() -> None:
    """Of some columns; the others stay."""
    generator = torch.Generator().manual_seed(0)
    settings = AdamWSettings(beta1=0.9, beta2=0.98, eps=1e-8, weight_decay=0.1)
    columns, lr_P = slice(7, 9_000), torch.tensor([1e-2, 1e-3], device=DEVICE)
    tensors = [torch.randn(2, 10_000, generator=generator).to(DEVICE) for _ in range(4)]
    tensors[3] = tensors[3].square()
    moved = []
    for backend in (fused, eager):
        own = [tensor.clone() for tensor in tensors]
        parts = [tensor[:, columns] for tensor in own]
        backend.adamw(*parts, lr_P, settings, torch.tensor(3, device=DEVICE))
        moved.append(own)
    for before, ours, theirs in zip(tensors, *moved, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-6, atol=1e-6)  # a few roundings
        assert torch.equal(ours[:, 9_000:], before[:, 9_000:])


def test_moments_after_the_first_step_of_adamw_have_all_bits() -> None:
    """Of a decay near 1, which subtracted from it in float32 would leave 1e-5 of error."""
    settings = AdamWSettings(beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0)
    grad_PN = torch.linspace(0.5, 1.5, 100, device=DEVICE).view(2, 50)
    flat_PN, *moments = (torch.zeros_like(grad_PN) for _ in range(3))
    lr_P, number = torch.ones(2, device=DEVICE), torch.tensor(1, device=DEVICE)
    fused.adamw(flat_PN, grad_PN, *moments, lr_P, settings, number)
    expected = [grad_PN.double() * (1 - 0.9), grad_PN.double().square() * (1 - 0.999)]
    for moment, exact in zip(moments, expected, strict=True):
        # Two products and a constant are rounded, by 6e-8 each.
        assert torch.allclose(moment.double(), exact, rtol=2e-7, atol=0.0)


MEMBERS = [Member(seed=seed, lr=lr) for seed, lr in ((0, 1e-3), (1, 1e30), (7, 1e-2))]


def trained(shape: Shape, members: list[Member]) -> tuple[np.ndarray, Tensor]:
    """Losses and gradient norms of two steps, (2, E, P), and the parameters after them."""
    population = Population(shape, members, dtype=torch.float32)
    population.program = None  # the CPU's own, which computes whole steps and calls no kernel here
    for _ in range(2):
        population.advance()
    return population.recorded(0), population.flat_PN


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Shape:
    """One block that trains on this device, with kernels in Triton."""
    monkeypatch.setattr(compiled, "kernels", lambda tensor: fused)
    small = shapes.shape(depth=1, compile=True, batch=3)
    return dataclasses.replace(small, device=DEVICE)


# A scheme is computed by torch's operations; kernels see what it gives the norms and sub-layers to
# read, and the gradients that come back. One scheme for each kind of these:
WAYS = {
    "gated_residual": "no norms",
    "highway": "norms behind the sums, a gate that reads the stream as the sub-layer does",
    "keel": "norms before the sub-layers and behind the sums",
    "parallel": "both sub-layers read one normed stream",
    "siamese": "two streams, each with norms of its own",
    "frac": "parts of the width, which lie apart in memory",
    "hyper": "several streams at once",
    "stochastic_depth": "branches without a gradient",
    "value_residual": "attention that the scheme has a part in",
}


@pytest.mark.parametrize("name", WAYS)
def test_steps_of_schemes_are_those_of_torch(small: Shape, name: str) -> None:
    residual = scheme(name)
    shape = shapes.changed(small, residual=residual, norm=residual.own_norm)
    ours, _ = trained(shape, MEMBERS[::2])
    theirs, _ = trained(shapes.changed(shape, compile=False), MEMBERS[::2])
    # AdamW makes steps of their full size of gradients that are round-off, as those of the keys'
    # biases; so parameters are not compared. Losses and norms feel them by their rate, 1e-2, only
    # to second order.
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)


@pytest.mark.parametrize("changes", [{}, {"qk_norm": True, "position": "rope", "rope_base": 100.0}])
def test_members_do_not_see_each_other(small: Shape, changes: dict[str, Any]) -> None:
    """Beside one that breaks, and again: the same bits. Alone, too, but that torch on a GPU chooses
    its products, such as the head's, by the number of members.
    """
    shape = shapes.changed(small, **changes)
    together, flat_PN = trained(shape, MEMBERS)
    again, _ = trained(shape, MEMBERS)
    assert np.array_equal(together, again, equal_nan=True)
    assert np.isfinite(together[:, :, [0, 2]]).all()
    for row in (0, 2):
        alone, own_PN = trained(shape, [MEMBERS[row]])
        if DEVICE == "cpu":
            assert np.array_equal(alone[:, :, 0], together[:, :, row])
            assert torch.equal(own_PN[0], flat_PN[row])
        np.testing.assert_allclose(alone[:, :, 0], together[:, :, row], rtol=1e-4)


def test_every_kernel_of_a_step_is_compiled_for_a_gpu_ahead_of_time(tmp_path: Path) -> None:
    """Those of a step of 16 tokens and width 32: for sm_90, with what it has."""
    steps = ["ieee classic", "tf32 modern", "bf16 modern"]
    run = subprocess.run(
        [sys.executable, "-m", "support.ahead_of_time", *steps],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "TRITON_CACHE_DIR": str(tmp_path),
            "TRITON_INTERPRET": "0",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    passes = [f"{part}.{way}" for part in SUBLAYERS for way in ("_forward", "_backward")]
    updates = ["partials._add", "update._add_squares", "update._scale", "update._move"]
    kernels_of = json.loads(run.stdout)
    assert list(kernels_of) == steps
    for step, kernels in kernels_of.items():
        assert {kernel["name"] for kernel in kernels} == {*passes, *updates}, step
        for kernel in kernels:
            # An H100 has 228 KiB of shared memory a processor, of which 1 is CUDA's own.
            assert kernel["shared"] <= 227 << 10, (step, kernel)
            # What a thread spills: thousands of bytes where tiles are too large for its 255
            # registers.
            assert kernel["stack"] <= 512, (step, kernel)


@pytest.fixture
def tested_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The self-test as on a GPU, on the device of these tests."""
    tested = selftest.deviation
    monkeypatch.setattr(
        selftest,
        "deviation",
        lambda ours, dtype, device, names, precision: tested(ours, dtype, DEVICE, names, precision),
    )
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))


@pytest.mark.usefixtures("tested_here")
@pytest.mark.parametrize("precision", PRECISIONS)
def test_kernels_are_used_on_a_gpu_only_where_they_compute_what_torch_computes(
    precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In whatever precision; how this process computes products stays as it was."""
    before = torch.backends.cuda.matmul.fp32_precision
    assert availability.trouble(precision) == ""
    assert torch.backends.cuda.matmul.fp32_precision == before != "ieee"
    assert not torch.is_autocast_enabled(DEVICE)
    norm, attend = fused.norm, fused.attend
    monkeypatch.setattr(
        fused, "norm", lambda x_PRD, weights, kind: norm(x_PRD, weights, kind) * 1.1
    )
    assert availability.trouble(precision) == "Triton's kernels compute the norm layer wrongly"
    monkeypatch.setattr(
        fused,
        "attend",
        lambda x_PRD, weights, settings: attend(
            x_PRD, weights._replace(output=weights.query), settings
        ),
    )
    assert availability.trouble(precision) == "Triton's kernels compute attention wrongly"

    def broken(*operands: object) -> Tensor:
        raise RuntimeError("ptxas:\n no such processor")

    monkeypatch.setattr(fused, "attend", broken)
    assert availability.trouble(precision) == "Triton's kernels fail: ptxas: no such processor"


def test_a_gpu_of_an_older_kind_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (8, 9))
    assert availability.trouble("bf16") == (
        "the tiles of Triton's kernels are for compute capability 9.0, not 8.9"
    )


@pytest.fixture
def with_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that seems to have a GPU with a driver, and has an empty cache folder."""
    driver = tmp_path / "version"
    driver.write_text("some driver")
    monkeypatch.setattr(availability, "_DRIVER", driver)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "some card")


@pytest.mark.usefixtures("with_gpu")
@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import os; os.kill(os.getpid(), 6)", "{} ends its self-test by SIGABRT"),
        ("import time; time.sleep(60)", "{} does not end its self-test within 1 s"),
        ("raise ImportError", "{} ends before its self-test"),
        ("print('a warning'); print({ended!r} + {precision!r}); print()", "tf32"),
    ],
)
def test_a_self_test_that_crashes_is_a_reason(
    program: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(availability, "_PROCESS", program)
    monkeypatch.setattr(availability, "_MOST_SECONDS", 1.0)
    for _ in range(2):  # a verdict against them is not kept
        found = availability.missing.__wrapped__("tf32")
        assert found == reason.format("a process with Triton's kernels")


@pytest.mark.usefixtures("with_gpu")
def test_a_self_test_that_was_passed_is_not_repeated_by_other_commands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """But for another precision, card or driver."""
    run = []

    def passed(program: str, most_seconds: float) -> tuple[str, str]:
        run.append(program)
        return "", availability._ENDED

    monkeypatch.setattr(selftest, "in_process", passed)
    missing = availability.missing.__wrapped__
    assert [missing(precision) for precision in ("fp32", "fp32", "bf16")] == [None] * 3
    assert len(run) == 2
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "another")
    assert missing("fp32") is None
    assert len(run) == 3
    availability._DRIVER.write_text("another")
    assert missing("fp32") is None
    assert len(run) == 4
    availability._DRIVER.unlink()  # as where it is not known: tested by each
    assert [missing("fp32"), missing("fp32")] == [None] * 2
    assert len(run) == 6


@pytest.mark.usefixtures("with_gpu")
def test_the_process_of_the_self_test_finds_no_gpu_where_there_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    reason = availability.missing.__wrapped__("fp32")
    assert reason is not None
    assert reason.startswith("Triton's kernels fail: ")


def test_without_a_gpu_there_is_nothing_to_compare_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert availability.missing.__wrapped__("fp32") == (
        "there is no GPU here to compare Triton's kernels with torch's operations on"
    )


def test_triton_is_not_imported_for_the_cpu() -> None:
    code = """
import sys
from resformer import cli, config
from resformer.config.machine import Machine
from resformer.plan import provenance

Machine.here().missing_kernels("cpu", "fp32")
config.request(None, ["device=cpu"])
provenance.versions(["cpu"])
assert "triton" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
