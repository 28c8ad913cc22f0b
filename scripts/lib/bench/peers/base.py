"""Interface of a peer of the benchmark."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar, final

import numpy as np
import numpy.typing as npt

from lib.bench.cases import Case

Setting = TypeVar("Setting")
Losses = npt.NDArray[np.float64]


@final
@dataclass(frozen=True)
class Timed:
    """Work and time of one process, without starting, drawing tokens, building and compiling."""

    member_steps: int
    seconds: float


class Peer(ABC):
    """A way to train members of one shape.

    It lives in a process of its own; a subclass is final.
    """

    @abstractmethod
    def prepare(self, case: Case) -> str:
        """Build, compile, and choose the fastest of its settings;
        returns that one in a few words.
        """

    @abstractmethod
    def losses(self, steps: int) -> Losses:
        """Loss of each of the case's first members in each step, (members, steps), nats per scored
        token.
        """

    @abstractmethod
    def run(self, steps: int) -> list[Timed]:
        """Train from the beginning for so many steps or a few more; what each process did, all at
        the same time.
        """


def rate(timed: Iterable[Timed]) -> float:
    """Member-steps per second of the whole machine."""
    return sum(process.member_steps / process.seconds for process in timed)


def fastest(settings: Iterable[Setting], run: Callable[[Setting], list[Timed]]) -> Setting:
    """The setting with the highest rate; each runs twice, the first time to warm up."""

    def warm(setting: Setting) -> float:
        run(setting)
        return rate(run(setting))

    return max(settings, key=warm)
