"""Other ways to train members of the same shape on the same GPU: the obvious script, and JAX."""

import sys
from dataclasses import replace

import pandas as pd

from lib.bench.cases import Case
from lib.bench.peers.one import train
from lib.bench.tables import number, spread, table
from lib.gpu.record import Record
from lib.gpu.steps import COPY, FULL

_STEPS, _WARM_UP_STEPS = 100, 20
_JAX_STEPS = 20
_REPETITIONS = 3
_MATMUL = {"fp32": "highest", "tf32": "tensorfloat32"}
"""JAX's words for the precision of products; its default on a GPU is tf32 for float32."""
_STACKS = (256, FULL)


def measure_script(device: str, record: Record) -> None:
    """A row per way and repetition: one member, `nn.TransformerEncoder` and `torch.optim.AdamW`."""
    script(device, record, COPY, _STEPS)


def script(device: str, record: Record, case: Case, steps: int) -> None:
    """A row per way and repetition, each of so many steps."""
    here = replace(case, device=device)
    [member] = here.members(1)
    for fused in (True, False):
        train(here, member, _WARM_UP_STEPS, fused=fused)
        for _ in range(_REPETITIONS):
            _, timed = train(here, member, steps, fused=fused)
            name = f"script, {'fused' if fused else 'default'} AdamW"
            us = 1e6 * timed.seconds / timed.member_steps
            record({"peer": name, "precision": "fp32", "members": 1, "us": us})


def measure_jax(device: str, record: Record) -> None:
    """A row per precision, number of members and repetition: `jit(vmap(step))`; fp32 first, which a
    target asks for. SystemExit if JAX has no build for the device.
    """
    for precision in _MATMUL:
        for members in _STACKS:
            scan(device, record, COPY, precision, members)


def scan(device: str, record: Record, case: Case, precision: str, members: int) -> None:
    """A row per repetition."""
    import jax

    if (here := jax.default_backend()) != {"cuda": "gpu"}.get(device, device):
        sys.exit(f"jax computes on {here} here: no build of it for a GPU is installed")
    from lib.bench.peers import scan

    stack = case.members(members)
    with jax.default_matmul_precision(_MATMUL[precision]):
        scan.train(case, stack, 1)
        for _ in range(_REPETITIONS):
            _, timed = scan.train(case, stack, _JAX_STEPS)
            us = 1e6 * timed.seconds / timed.member_steps
            record({"peer": "jax", "precision": precision, "members": members, "us": us})


def render(rows: pd.DataFrame) -> str:
    """A line per peer, precision and number of members."""
    lines = [
        [str(peer), str(precision), f"{members:,}", number(us.median()), spread(us.min(), us.max())]
        for (peer, precision, members), us in rows.groupby(
            ["peer", "precision", "members"], sort=False
        )["us"]
    ]
    head = ["", "precision", "members", "median", "range"]
    note = "Tokens are drawn in advance, which favours peers; resformer draws its own."
    return table(f"{COPY}: microseconds per member-step of peers", head, lines, [note])
