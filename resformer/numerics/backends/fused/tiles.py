"""Sizes of the tiles."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class FfnTiles:
    rows: int
    width: int
    chunk: int
    part: int = 32
    group: int = 256
    warps: int


@dataclass(frozen=True, kw_only=True)
class AttendTiles:
    window: int
    windows: int
    heads: int
    head_width: int
    width: int
    warps: int
    blocks: int
    part: int = 32

    def rows(self, tokens: int) -> int:
        return self.windows * (self.window // tokens * tokens)
