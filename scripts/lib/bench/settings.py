"""Cost of the settings of a block and its training: a step per FLOP, against a classic block's."""

import pandas as pd

from lib.bench.cases import Case
from lib.bench.limit import enough, seconds_per_step
from lib.bench.tables import number, table
from resformer.numerics.process import configure_worker

_CASE = Case("S", "sort", depth=8)
TORCH = {
    "model.norm_kind=dyt",
    "model.norm_kind=derf",
    "train.dropout=0.1",
    "optimizer=sgd",
    "optimizer=muon",
    "optimizer=lion",
    "model.module=lib.bench.own_block:Block",
}
"""Settings of which no kernel knows; torch's operations compute them."""
_BLOCKS = ("model=classic", "model=modern")
SETTINGS = (
    *_BLOCKS,
    "model.norm_kind=rms",
    "model.norm_kind=dyt",
    "model.norm_kind=derf",
    "model.qk_norm=true",
    "model.bias=false",
    "model.position=rope",
    "model.position=sinusoidal",
    "model.activation=gelu",
    "model.activation=silu",
    "model.activation=relu2",
    "model.activation=swiglu",
    "model.activation=geglu",
    "model.tied=true",
    "train.dropout=0.1",
    "train.schedule=cosine",
    "optimizer=sgd",
    "optimizer=muon",
    "optimizer=lion",
    "model.norm=pre model.parametrisation=completep",
    "model.module=lib.bench.own_block:Block",
)


def case_of(setting: str, *, compiled: bool) -> Case:
    """The case with this setting."""
    more = (*setting.split(), f"train.compile={str(compiled).lower()}")
    return Case(_CASE.name, _CASE.task, _CASE.depth, more=more)


def measure(repeats: int) -> pd.DataFrame:
    """A row per setting and repetition: seconds per member-step, and its FLOPs; with kernels, and
    of both blocks and of settings that no kernel knows in torch's operations, too.
    """
    configure_worker()
    cases = {
        (setting, compiled): case_of(setting, compiled=compiled)
        for setting in SETTINGS
        for compiled in ((True, False) if setting in (*_BLOCKS, *TORCH) else (True,))
    }
    steps = {key: enough(case, case.stack) for key, case in cases.items()}
    return pd.DataFrame(
        [
            {
                "setting": setting,
                "compiled": compiled,
                "repetition": repetition,
                "step": seconds_per_step(case, case.stack, steps[setting, compiled]),
                "flops": case.shape(2).transformer().flops_per_step(case.batch),
            }
            for repetition in range(repeats)
            for (setting, compiled), case in cases.items()
        ]
    )


def per_flop(rows: pd.DataFrame) -> dict[tuple[str, bool], float]:
    """Time per FLOP relative to a classic block's by kernels, by setting and whether kernels
    compute: the median over repetitions.
    """
    cost = rows.assign(cost=rows["step"] / rows["flops"]).pivot_table(
        "cost", index="repetition", columns=["setting", "compiled"]
    )
    ratios = cost.div(cost[SETTINGS[0], True], axis=0).median()
    return {(str(key[0]), bool(key[1])): float(ratios[key]) for key in ratios.index}


def render(rows: pd.DataFrame) -> str:
    """Milliseconds per member-step, and the time per FLOP relative to the classic block's."""
    ratios, cells = per_flop(rows), []
    for (setting, compiled), part in rows.groupby(["setting", "compiled"], sort=False):
        by = "torch" if not compiled else "kernels, torch" if setting in TORCH else "kernels"
        milliseconds = number(1000 * part["step"].median())
        ratio = ratios[str(setting), bool(compiled)]
        cells.append([str(setting), by, milliseconds, f"{ratio:.2f}"])
    head = ["setting", "computed by", "ms per member-step", "time per FLOP"]
    note = (
        "Time per FLOP of a step, relative to the classic block by kernels, medians of "
        'interleaved repetitions.\n"kernels, torch": torch computes what the setting asks for, '
        "kernels the rest."
    )
    return table(f"{_CASE}: settings, one thread", head, cells, [note])
