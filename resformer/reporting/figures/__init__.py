"""Figures of a report: a kind per file, drawn for every panel."""

import io
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, final

import matplotlib as mpl
from matplotlib.figure import Figure

from resformer.errors import DiskError, UserError
from resformer.reporting.analysis.probes import Probed
from resformer.reporting.figures import curves, gradient, layers, rates, solved, steps
from resformer.reporting.figures.points import Tips
from resformer.reporting.figures.sheet import sheets
from resformer.reporting.figures.style import RC
from resformer.reporting.layout import Layout
from resformer.reporting.schema import Report
from resformer.results.members import Findings
from resformer.store import files

_FORMS: tuple[Literal["svg", "png"], ...] = ("svg", "png")
_KINDS = {"steps": steps, "solved": solved, "curves": curves, "rates": rates, "gradient": gradient}


@final
@dataclass(frozen=True)
class Plot:
    """A figure of one panel; `tips` is what its parts say of themselves, by their id in the SVG."""

    kind: str
    label: str
    title: str
    """The panel's; empty where there is one only."""
    caption: str
    figure: Figure
    tips: Tips

    @property
    def name(self) -> str:
        """Its file's, without an ending."""
        return f"{self.kind}-{self.label}"

    def rendered(self, form: Literal["svg", "png"]) -> bytes:
        """The figure as a file's content: the same bytes each time."""
        buffer = io.BytesIO()
        with _style():
            self.figure.savefig(
                buffer, format=form, dpi=150, metadata={"Date": None} if form == "svg" else None
            )
        return buffer.getvalue()


def plots(findings: Findings, report: Report, asked: Layout) -> Iterator[Plot]:
    """The figures of every panel; UserError if a curve is not what was committed."""
    for sheet in sheets(findings, report, asked):
        for kind, module in _KINDS.items():
            tips = Tips()
            with _style():
                figure = module.draw(sheet, tips)
            if figure is not None:
                yield Plot(kind, sheet.panel.label, sheet.panel.title, module.CAPTION, figure, tips)


def draw(findings: Findings, report: Report, asked: Layout, folder: Path) -> list[Path]:
    """Write every figure into a folder as .svg and .png; returns the paths. UserError if that
    cannot be done.
    """
    return _written(plots(findings, report, asked), folder)


def draw_layers(found: Probed, measures: Mapping[str, str], folder: Path) -> list[Path]:
    """The same of a probe:
    a figure per measure, which are named with what they are in a few words.
    """

    def every() -> Iterator[Plot]:
        for name, words in measures.items():
            with _style():
                figure = layers.draw(found, name, words)
            if figure is not None:
                yield Plot("layers", name, "", words, figure, Tips())

    return _written(every(), folder)


def _written(every: Iterable[Plot], folder: Path) -> list[Path]:
    paths = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for plot in every:
            for form in _FORMS:
                paths.append(folder / f"{plot.name}.{form}")
                files.write(paths[-1], plot.rendered(form))
    except DiskError as error:
        raise UserError(f"--figures {error}; name another folder") from error
    except OSError as error:
        raise UserError(
            f"--figures {folder}: cannot be written: {error.strerror}; name another folder"
        ) from error
    return paths


@contextmanager
def _style() -> Iterator[None]:
    """Our settings instead of the user's; a letter that the font does not have is no reason to
    complain.
    """
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()
        mpl.rcParams.update(RC)
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield
