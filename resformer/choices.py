"""What there is to choose from: words, variants, studies. No torch in here, so that shell completion needs none."""

from importlib import metadata
from pathlib import Path

NORMS = ("none", "pre", "post", "sandwich", "pre_post", "branch")
SKIPS = ("both", "attention", "ffn", "none")
ATTENTIONS = ("bidirectional", "causal")
ACTIVATIONS = ("relu", "gelu")
DEVICES = ("auto", "cpu", "cuda")
COMPILE = ("auto", "true", "false")
PRECISIONS = ("fp32", "tf32", "bf16")
OWN = "own"

CHOICES: dict[str, tuple[str, ...]] = {
    "model.norm": (OWN, *NORMS),
    "model.skip": SKIPS,
    "model.attention": (OWN, *ATTENTIONS),
    "model.activation": ACTIVATIONS,
    "train.compile": COMPILE,
    "train.precision": PRECISIONS,
    "device": DEVICES,
}
"""By key."""

GROUPS = {"task": "task", "model.residual": "model/residual", "engine": "engine"}
"""Keys that choose a variant, with Hydra's name of the config group."""


PACKAGES = {"task": "resformer.tasks", "model.residual": "resformer.residuals", "engine": "resformer.engines"}
"""Where the variants' classes are; of other packages, the group of their entry points."""


def folder() -> Path:
    """The configuration: the checkout's own, or what the wheel brought."""
    package = Path(__file__).parent
    shipped = package / "configs"
    return shipped if shipped.is_dir() else package.parent / "configs"


def variants(key: str) -> list[str]:
    """The names a config group offers, those of other packages as well."""
    own = {path.stem for path in (folder() / GROUPS[key]).glob("*.yaml")}
    brought = metadata.entry_points(group=PACKAGES[key]) if key != "engine" else ()
    return sorted(own | {point.name for point in brought})


def studies() -> dict[str, Path]:
    """Study files by name, those in folders of their own last; the working directory's hide the package's."""
    places = [place / "study" for place in (folder(), Path("configs"))]
    by_name = {path.stem: path for place in places for path in sorted(place.rglob("*.yaml"))}
    return dict(sorted(by_name.items(), key=lambda study: study[1].parent not in places))
