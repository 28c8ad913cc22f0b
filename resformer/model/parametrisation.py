"""Parametrisations: factors that are to keep the best learning rate where it is while depth and
width grow.

With m_L = L / base depth and m_N = D / base width, α = 1/2 for `depth_mup` (Yang et al. 2023, arXiv
2310.02244, table 1, Adam) and α = 1 for `completep` (Dey et al. 2025, arXiv 2505.01618, table 1 and
eq. 40, as in the authors' code), relative to the base:

    role                    factor              α in general         depth_mup     completep
    branch                  output              m_L^-α               m_L^-½        m_L^-1
    scores of attention     output              m_K^-½               m_K^-½        m_K^-½
    head                    output              m_N^-1               m_N^-1        m_N^-1
                            initial scale       σ as at the base
    matrix of a block       learning rate       m_N^-1 · m_L^(α-1)   · m_L^-½      · 1
                            eps                 m_N^-1 · m_L^-α      · m_L^-½      · m_L^-1
                            weight decay        m_N                  m_N           m_N
    bias, norm of a block   learning rate       m_L^(α-1)            m_L^-½        1
                            eps                 m_N^-1 · m_L^-α      · m_L^-½      · m_L^-1
    embedding, last norm,   eps                 m_N^-1               m_N^-1        m_N^-1
    head

The initial scale of a block's matrix needs no factor: Xavier's falls as m_N^-½ by itself. m_K is
the ratio of the heads' widths K: scores are divided by √K already, and so by K in all. At the base
everything is as in `standard`, bit for bit.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

from resformer.errors import Incompatible
from resformer.model.settings import ModelSettings
from resformer.numerics.parameters import Factors, Role

_ALPHA = {"depth_mup": 0.5, "completep": 1.0}
_ON_BRANCHES = ("pre", "sandwich", "branch")
"""Norm placements that leave the stream a plain sum."""


@final
@dataclass(frozen=True, kw_only=True)
class Parametrisation:
    """Factors of one model."""

    branch: float = 1.0
    """Factor on the output of a sub-layer."""
    scores: float = 1.0
    """Factor on the scores of attention, q·kᵀ/√K."""
    logits: float = 1.0
    """Factor on the output of the head, but for its bias."""
    roles: Mapping[Role, Factors] = field(default_factory=dict)
    """Factors on the settings of the optimiser by role; of others, 1."""
    head_width: int | None = None
    """Width by which the head's initial values are scaled; None: that of the model."""


def check_parametrisation(settings: ModelSettings, *, scheme: str, fits: bool) -> None:
    """Raise Incompatible for settings that the table above says nothing of; `fits` is True for a
    scheme whose sub-layers are plain sums.
    """
    grown = settings.base_width != settings.width and settings.hidden != 4 * settings.width
    for setting, value, has_factors, fitting in (
        ("model/residual", scheme, fits, "add"),
        ("model.skip", settings.skip, settings.skip == "both", "both"),
        ("model.norm", settings.norm, settings.norm in _ON_BRANCHES, " or ".join(_ON_BRANCHES)),
        ("model.hidden", settings.hidden, not grown, "null"),
    ):
        if not has_factors:
            raise Incompatible(
                f"{setting}={value}: model.parametrisation={settings.parametrisation} has no "
                f"factors for it; {fitting} would work"
            )


def parametrisation(settings: ModelSettings) -> Parametrisation:
    """Factors of a model with these settings."""
    alpha = _ALPHA.get(settings.parametrisation)
    if alpha is None:
        return Parametrisation()
    assert settings.base_depth is not None
    assert settings.base_width is not None
    deeper, wider = settings.depth / settings.base_depth, settings.width / settings.base_width
    heads = settings.base_heads or settings.heads
    head_wider = (settings.width / settings.heads) / (settings.base_width / heads)
    branch, pace = deeper**-alpha, deeper ** (alpha - 1.0)
    outside = Factors(eps=1.0 / wider)
    vector = Factors(lr=pace, eps=branch / wider)
    return Parametrisation(
        branch=branch,
        scores=head_wider**-0.5,
        logits=1.0 / wider,
        roles={
            "embedding": outside,
            "matrix": Factors(lr=pace / wider, eps=branch / wider, weight_decay=wider),
            "vector": vector,
            "gate": vector,
            "last": outside,
            "head": outside,
            "head_bias": outside,
        },
        head_width=settings.base_width,
    )
