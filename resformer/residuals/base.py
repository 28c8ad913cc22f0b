"""Interface between the model and a residual scheme.

One sub-layer update, i = 1 … 2·depth, `F` attention for odd i and the FFN for even i:

    h = N_in(read(streams))        f = N_branch(F(h))        streams' = N_out(write(streams, f))

The norm placement says which of the three norms there are; a scheme may restrict the placements.
"""

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, Literal, NamedTuple, TypeVar, final

import torch
from torch import Tensor

from resformer import plugins
from resformer.errors import require, require_between
from resformer.numerics.elementwise import rsqrt
from resformer.numerics.parameters import Factors, ParameterSpec, Role, constant, identity

ParameterGroup = Literal[
    "embedding", "query", "key", "value", "output", "ffn_in", "ffn_gate", "ffn_out"
]
Norm = Callable[[Tensor], Tensor]
Streams = tuple[Tensor, ...]
State = TypeVar("State", Tensor, Streams)

_RMS_EPSILON = 1e-6
_FINAL_NORM = ("pre", "sandwich", "branch")
"""Placements that leave the stream un-normalised, so that a final norm follows the last block."""


@final
@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Sizes of the network that a scheme may depend on."""

    depth: int
    """L, blocks."""
    distinct_blocks: int
    """Blocks with weights of their own, which are passed through one after another until there are
    L.
    """
    width: int
    """D."""
    heads: int
    """H."""
    tokens: int
    """T."""
    causal: bool
    """Causal attention: a token attends to itself and earlier ones only."""
    bias: bool
    """Linear layers and norms have biases."""

    @property
    def sublayers(self) -> int:
        """S = 2·L."""
        return 2 * self.depth


@final
@dataclass(frozen=True, kw_only=True)
class SublayerContext:
    """Position of a sub-layer in the network, and the members' parameters."""

    sublayer: int
    """i, from 1 to S."""
    architecture: Architecture
    scheme: str
    """Name of the residual scheme, which is part of its parameters' names."""
    parameters: Mapping[str, Tensor]
    """All parameters of the members by full name, each (P, *shape)."""
    step: Tensor
    """Training steps taken, the present one included: a whole number on the device, 0 before the
    first.
    """
    key_P: Tensor | None = None
    """Keys of a training step's random numbers; None in an evaluation."""
    draw_P: Tensor | None = None
    """Random numbers of a scheme that is `random`: uniform in [0, 1), new in every training step;
    None in an evaluation.
    """
    without: Collection[int] = ()
    """Sub-layers, from 1 to S, that are left out of the pass."""

    @property
    def block(self) -> int:
        """l, from 1 to L."""
        return (self.sublayer + 1) // 2

    @property
    def weights_block(self) -> int:
        """Block whose weights this sub-layer has."""
        return (self.block - 1) % self.architecture.distinct_blocks + 1

    @property
    def weights_sublayer(self) -> int:
        """Sub-layer whose weights this one has."""
        return 2 * self.weights_block - self.is_attention

    @property
    def is_attention(self) -> bool:
        """True for attention, False for the FFN."""
        return self.sublayer % 2 == 1

    def kept(self, first: int, last: int) -> list[int]:
        """Sub-layers from `first` to `last` that are not left out."""
        return [sublayer for sublayer in range(first, last + 1) if sublayer not in self.without]

    @property
    def earlier_blocks(self) -> list[int]:
        """Blocks before this one, but those that are left out whole."""
        return [block for block in range(1, self.block) if self.kept(2 * block - 1, 2 * block)]

    @property
    def ends_block(self) -> bool:
        """True for the last sub-layer of a block: the FFN, or attention where the FFN is left
        out.
        """
        return not self.kept(self.sublayer + 1, 2 * self.block)

    def sublayer_parameter(self, name: str) -> Tensor:
        """Parameter of the scheme that this sub-layer has, (P, *shape)."""
        return self.parameters[f"sublayer{self.sublayer}.{self.scheme}.{name}"]

    def block_parameter(self, name: str) -> Tensor:
        """Parameter of the scheme that both sub-layers of this block share, (P, *shape)."""
        return self.parameters[f"block{self.block}.{self.scheme}.{name}"]


class Projections(NamedTuple):
    """Queries, keys and values of every token, (P, R, D) each, heads side by side: normalised where
    `model.qk_norm` has it, before rotary positions.
    """

    query: Tensor
    key: Tensor
    value: Tensor


class Residual(ABC, Generic[State]):
    """Residual scheme; a subclass is a frozen dataclass of the scheme's own settings, and final.

    Its residual streams are one tensor or a tuple of tensors, whose last axes are (P, R, D), R =
    B·T rows, one per token of the member's batch. All rows are treated alike and independently,
    but by a scheme that `mixes_tokens`.
    """

    own_norm: ClassVar[str]
    """Placement that `model.norm=own` means for this scheme; `own` where the placement differs from
    sub-layer to sub-layer.
    """
    norms: ClassVar[Sequence[str]]
    """Norm placements that the scheme allows."""
    skips: ClassVar[bool] = False
    """True if skips of single sub-layers can be dropped (`model.skip`): the update is a plain
    sum.
    """
    goes_with_parametrisations: ClassVar[bool] = False
    """True if the scheme adds branches as they are, so that the factors of `model.parametrisation`
    are the only ones that depend on depth.
    """
    random: ClassVar[bool] = False
    """True if the scheme needs random numbers in training."""
    shapes_attention: ClassVar[bool] = False
    """True if the scheme overrides `attention_inputs`, `attention_projections` or
    `attention_pattern`.
    """
    mixes_tokens: ClassVar[bool] = False
    """True if a token's streams depend on other tokens of its sequence by more than attention. In a
    causal model these must be earlier ones.
    """

    def check(self, architecture: Architecture) -> None:
        """Raise Incompatible for sizes with which the scheme does not work; none by default."""

    def block_parameters(self, block: int, architecture: Architecture) -> list[ParameterSpec]:
        """Learned parameters that both sub-layers of a block share; none by default."""
        return []

    def sublayer_parameters(self, sublayer: int, architecture: Architecture) -> list[ParameterSpec]:
        """Learned parameters of one sub-layer; none by default."""
        return []

    def parameters(self, architecture: Architecture) -> list[ParameterSpec]:
        """Learned parameters of the scheme by full name, such as `sublayer3.admin.omega`."""
        scheme: str = plugins.name_of(self)
        return [
            *(
                spec.within(f"block{block}.{scheme}")
                for block in range(1, architecture.depth + 1)
                for spec in self.block_parameters(block, architecture)
            ),
            *(
                spec.within(f"sublayer{sublayer}.{scheme}")
                for sublayer in range(1, architecture.sublayers + 1)
                for spec in self.sublayer_parameters(sublayer, architecture)
            ),
        ]

    def gain(self, group: ParameterGroup, architecture: Architecture) -> float:
        """Factor on the initial draw of a parameter group but `ffn_gate`; 1 by default."""
        return 1.0

    def factors(self, role: Role, architecture: Architecture) -> Factors:
        """Factors on the optimiser's settings for the parameters of a role; 1 by default."""
        return Factors()

    def initial_matrix(
        self, spec: ParameterSpec, group: ParameterGroup, block: int, architecture: Architecture
    ) -> ParameterSpec:
        """Matrix of a block with the draw from which it starts: by default that of `spec`,
        Xavier-uniform times the gain.
        """
        return spec

    def placement(self, norm: str, sublayer: int, architecture: Architecture) -> str:
        """Norm placement of one sub-layer; by default `norm` everywhere."""
        return norm

    def has_final_norm(self, norm: str, architecture: Architecture) -> bool:
        """Return True if a norm follows the last block: by default where the stream is left
        un-normalised.
        """
        return self.placement(norm, architecture.sublayers, architecture) in _FINAL_NORM

    def flops_per_row(self, architecture: Architecture) -> int:
        """Floating-point operations in matrix products that the scheme adds to the forward pass of
        one token.
        """
        return 0

    def flops_per_output_row(self, architecture: Architecture) -> int:
        """Floating-point operations in matrix products of `reduce_streams` for one token."""
        return 0

    @abstractmethod
    def expand_streams(self, x_PRD: Tensor) -> State:
        """Make the residual streams of the embedding."""

    @abstractmethod
    def read(self, streams: State, context: SublayerContext) -> Tensor:
        """Input x_PRD of the sub-layer, before its norm."""

    def input_scale(self, context: SublayerContext) -> float:
        """Factor on the input of the sub-layer after its norm; 1 by default."""
        return 1.0

    def attention_inputs(
        self, streams: State, x_PRD: Tensor, context: SublayerContext
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs of query, key and value before their norm, which they share; by default all are
        the input `x_PRD` of the sub-layer.
        """
        return x_PRD, x_PRD, x_PRD

    def attention_projections(
        self, streams: State, projections: Projections, context: SublayerContext
    ) -> tuple[State, Projections]:
        """Residual streams, and the queries, keys and values that attention uses; both unchanged by
        default.
        """
        return streams, projections

    def attention_pattern(self, a_PBHTT: Tensor, context: SublayerContext) -> Tensor:
        """Attention pattern that mixes the values; unchanged by default.

        Entries that causal attention masks must stay 0.
        """
        return a_PBHTT

    def mixing(self, streams: State, context: SublayerContext) -> Tensor | None:
        """Matrices M_PRnn, one per token, by which `write` mixes n streams before it adds the
        sub-layer's output, x_k' = Σ_j M_kj·x_j + …; None, by default, for a scheme without.
        """
        return None

    @abstractmethod
    def write(self, streams: State, f_PRD: Tensor, context: SublayerContext) -> State:
        """Residual streams after the sub-layer's output `f_PRD`, before any post-norm."""

    @abstractmethod
    def apply_post_norm(self, streams: State, norm: Norm, context: SublayerContext) -> State:
        """Residual streams after the norm that follows a sub-layer."""

    @abstractmethod
    def stream_output(self, streams: State, parameters: Mapping[str, Tensor]) -> Tensor:
        """Stream x_PRD after the last sub-layer, as one more sub-layer would read it."""

    @abstractmethod
    def reduce_streams(
        self, streams: State, final_norm: Norm, parameters: Mapping[str, Tensor]
    ) -> Tensor:
        """Output x_PRD of the last block; `final_norm` changes nothing where there is none."""


class OneStream(Residual[Tensor]):
    """Scheme with one residual stream x_PRD, which every sub-layer reads whole."""

    def expand_streams(self, x_PRD: Tensor) -> Tensor:
        """Start from the embedding."""
        return x_PRD

    def read(self, x_PRD: Tensor, context: SublayerContext) -> Tensor:
        """Read the stream."""
        return x_PRD

    def apply_post_norm(self, x_PRD: Tensor, norm: Norm, context: SublayerContext) -> Tensor:
        """Normalise the stream."""
        return norm(x_PRD)

    def stream_output(self, x_PRD: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """Return the stream."""
        return x_PRD

    def reduce_streams(
        self, x_PRD: Tensor, final_norm: Norm, parameters: Mapping[str, Tensor]
    ) -> Tensor:
        """Return the stream after the final norm."""
        return final_norm(x_PRD)


class WeightedSum(OneStream):
    """Scheme whose update is a weighted sum, x' = a⊙x + b⊙F(c·N(x)).

    Weights a and b are numbers, or parameters of the scheme as `SublayerContext` has them, with one
    entry (P, 1) or one per channel (P, D): compiled kernels read them where they lie.
    """

    def skip_weight(self, context: SublayerContext) -> float | Tensor:
        """Weight a of the stream, 0 where there is no skip; 1 by default."""
        return 1.0

    def branch_weight(self, context: SublayerContext) -> float | Tensor:
        """Weight b of the branch; 1 by default."""
        return 1.0

    @final
    def write(self, x_PRD: Tensor, f_PRD: Tensor, context: SublayerContext) -> Tensor:
        """Add the weighted branch to the weighted stream."""
        skip, branch = self.skip_weight(context), self.branch_weight(context)
        f_PRD = _times(f_PRD, branch)
        has_skip = isinstance(skip, Tensor) or skip != 0
        return _times(x_PRD, skip) + f_PRD if has_skip else f_PRD


class IdentitySkip(WeightedSum):
    """Scheme whose update is a plain sum, x' = x + F(x)."""

    skips: ClassVar[bool] = True


@dataclass(frozen=True, kw_only=True)
class SkiplessAttention(WeightedSum):
    """Scheme with no skip around attention, x' = Attn(N(x)), and a skip with a learned gain b, one
    per block, around the FFN: x' = x + b·FFN(N(x)). Value and output matrices start at the
    identity.
    """

    ffn_gain_at_18_blocks: float
    """Initial b of a network of 18 blocks; that of L blocks is √(18 / L) times as large."""

    own_norm: ClassVar[str] = "pre"
    norms: ClassVar[tuple[str, ...]] = ("pre",)

    def __post_init__(self) -> None:
        check_magnitude(self, "ffn_gain_at_18_blocks")

    def block_parameters(self, block: int, architecture: Architecture) -> list[ParameterSpec]:
        """Scalar b."""
        gain = self.ffn_gain_at_18_blocks * (18 / architecture.depth) ** 0.5
        return [constant("ffn_gain", 1, value=gain)]

    def initial_matrix(
        self, spec: ParameterSpec, group: ParameterGroup, block: int, architecture: Architecture
    ) -> ParameterSpec:
        """Start value and output as the identity."""
        return identity(spec.name, *spec.shape) if group in ("value", "output") else spec

    def skip_weight(self, context: SublayerContext) -> float:
        """Weight 0 around attention, 1 around the FFN."""
        return 0.0 if context.is_attention else 1.0

    def branch_weight(self, context: SublayerContext) -> float | Tensor:
        """Weight 1 of attention, b of the FFN."""
        return 1.0 if context.is_attention else context.block_parameter("ffn_gain")


class ManyStreams(Residual[Streams]):
    """Scheme with several residual streams, or a history; by default sub-layers read the first."""

    def expand_streams(self, x_PRD: Tensor) -> Streams:
        """Start from one stream, the embedding."""
        return (x_PRD,)

    def read(self, streams: Streams, context: SublayerContext) -> Tensor:
        """Read the first stream."""
        return streams[0]

    def apply_post_norm(self, streams: Streams, norm: Norm, context: SublayerContext) -> Streams:
        """Normalise the first stream."""
        return norm(streams[0]), *streams[1:]

    def stream_output(self, streams: Streams, parameters: Mapping[str, Tensor]) -> Tensor:
        """Return the first stream."""
        return streams[0]

    def reduce_streams(
        self, streams: Streams, final_norm: Norm, parameters: Mapping[str, Tensor]
    ) -> Tensor:
        """Return `stream_output` after the final norm."""
        return final_norm(self.stream_output(streams, parameters))


@dataclass(frozen=True, kw_only=True)
class ParallelStreams(ManyStreams):
    """Scheme with n equal streams: copies of the embedding at first, summed at the end."""

    streams: int
    """n."""
    dynamic: float
    """Initial scale of the part of each weight that depends on the token."""

    own_norm: ClassVar[str] = "pre"
    norms: ClassVar[tuple[str, ...]] = ("pre",)
    fewest_streams: ClassVar[int] = 1
    """Smallest n: 2 where one stream would make products of a matrix and a vector, whose bits
    depend on the number of members.
    """
    most_streams: ClassVar[int] = 16
    """Largest n."""

    def __post_init__(self) -> None:
        fewest, most = self.fewest_streams, self.most_streams
        require_between("model.residual.streams", self.streams, low=fewest, high=most)
        check_magnitude(self, "dynamic")

    def expand_streams(self, x_PRD: Tensor) -> Streams:
        """Start from n copies of the embedding."""
        return (x_PRD,) * self.streams

    def apply_post_norm(self, streams: Streams, norm: Norm, context: SublayerContext) -> Streams:
        """Normalise each stream."""
        return tuple(map(norm, streams))

    def stream_output(self, streams: Streams, parameters: Mapping[str, Tensor]) -> Tensor:
        """Return the mean of the streams."""
        return total(streams) / self.streams

    def reduce_streams(
        self, streams: Streams, final_norm: Norm, parameters: Mapping[str, Tensor]
    ) -> Tensor:
        """Return the sum of the streams after the final norm."""
        return final_norm(total(streams))


def check_magnitude(scheme: object, setting: str, most: int = 10) -> None:
    """Raise UserError unless this setting of a scheme is a number from -most to most."""
    value = getattr(scheme, setting)
    limits = f"must be a number from -{most} to {most}"
    require(abs(value) <= most, f"model.residual.{setting}", value, limits)


def by_head(context: SublayerContext, name: str) -> Tensor:
    """Parameter of the scheme that a block has per head, to scale its attention patterns."""
    return context.block_parameter(name)[:, None, :, None, None]


def mixed_with_identity(a_PBHTT: Tensor, context: SublayerContext) -> Tensor:
    """Attention pattern αI + βA of a scheme with parameters `alpha` and `beta` per block and
    head.
    """
    identity_TT = torch.eye(a_PBHTT.shape[-1], dtype=a_PBHTT.dtype, device=a_PBHTT.device)
    return by_head(context, "alpha") * identity_TT + by_head(context, "beta") * a_PBHTT


def _times(x_PRD: Tensor, weight: float | Tensor) -> Tensor:
    if isinstance(weight, Tensor):
        return x_PRD * weight.unsqueeze(1)
    return x_PRD if weight == 1 else x_PRD * weight


def inverse_rms(x_PRD: Tensor) -> Tensor:
    """One over the root mean square of each row, (P, R)."""
    mean_PR: Tensor = x_PRD.square().mean(-1)
    return rsqrt(mean_PR + _RMS_EPSILON)


def total(terms: Iterable[Tensor]) -> Tensor:
    """Sum of the terms, added from the first to the last."""
    return functools.reduce(torch.add, terms)


def weighted(weights_PRn: Tensor, streams: Streams) -> Tensor:
    """Sum of the streams, each row weighted by its entry in the n columns of `weights_PRn`."""
    columns = weights_PRn.split(1, -1)
    return total(column * x_PRD for column, x_PRD in zip(columns, streams, strict=True))
