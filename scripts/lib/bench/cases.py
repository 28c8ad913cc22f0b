"""Compared cases: shapes of trainings, written as overrides of resformer's own configuration."""

from dataclasses import dataclass
from functools import cache
from typing import final

from resformer.config import request
from resformer.model.shape import Member, Shape
from resformer.optimizers.base import Adaptive
from resformer.sweep.request import Request

_RATES = (1e-3, 3e-3)
_MANY = 1024


@final
@dataclass(frozen=True)
class Case:
    """One shape; post-norm `add` blocks with 4 heads and ReLU, 16 symbols."""

    name: str
    """The letter under which the tables know it."""
    task: str
    depth: int
    width: int = 32
    length: int = 8
    batch: int = 32
    alone: bool = False
    """One member per job: nothing can be stacked."""
    stacks: tuple[int, ...] = (1, 4, 16)
    """Sizes that peers choose their stack among."""
    more: tuple[str, ...] = ()
    """Further overrides."""
    device: str = "cpu"

    def shape(self, steps: int) -> Shape:
        """Trained for so many steps, evaluated at the first and the last only, nobody leaves."""
        [(shape, _)] = self._request(steps).shapes
        return shape

    def members(self, count: int) -> list[Member]:
        """Seeds from 0, learning rates in turn."""
        return [Member(seed=seed, lr=_RATES[seed % len(_RATES)]) for seed in range(count)]

    @property
    def stack(self) -> int:
        """Members that resformer trains together in one job: in the largest job of a sweep over
        many seeds.
        """
        return 1 if self.alone else max(len(job.members) for job in self._request(2).jobs())

    @property
    def adamw(self) -> Adaptive:
        """Settings of AdamW."""
        optimizer = self.shape(1).optimizer
        assert isinstance(optimizer, Adaptive)
        return optimizer

    @property
    def clip(self) -> float:
        """Largest gradient norm."""
        clip = self.shape(1).train.clip
        assert clip is not None
        return clip

    @property
    def tokens(self) -> int:
        """T, tokens that the model reads."""
        return self.shape(1).transformer().tokens

    def __str__(self) -> str:
        sizes = f"width {self.width}, batch {self.batch}"
        return f"{self.name}: {self.task}, {self.tokens} tokens, depth {self.depth}, {sizes}"

    @cache  # noqa: B019  a case is a constant
    def _request(self, steps: int) -> Request:
        return request(
            None,
            [
                f"task={self.task}",
                f"task.length={self.length}",
                f"model.depth={self.depth}",
                f"model.width={self.width}",
                f"train.batch={self.batch}",
                f"train.steps={steps}",
                f"train.eval_every={steps}",
                "train.warmup_steps=1",
                "train.stop_when_solved=false",
                f"member.seed=range(0,{_MANY})",
                f"device={self.device}",
                *self.more,
            ],
        )


SORT, COPY = Case("S", "sort", depth=8), Case("S", "copy", depth=8)
SMALL = [Case("S", task, depth) for task in ("sort", "copy") for depth in (2, 8)]
# 16 members were slower than 4 in JAX and no faster in vmap, and take minutes to try.
MEDIUM = Case("M", "sort", depth=8, width=64, length=32, batch=64, stacks=(1, 4))
DEEP = [Case("D", "copy", depth, alone=True) for depth in (1, 2, 4, 8, 16, 32)]
