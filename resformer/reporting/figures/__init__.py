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

from resformer.errors import writing
from resformer.reporting.analysis.probes import Probed
from resformer.reporting.figures import (
    curves,
    doublings,
    final_loss,
    gradient,
    heatmap,
    layers,
    multiples,
    rates,
    solved,
    steps,
)
from resformer.reporting.figures.data import panel_data
from resformer.reporting.figures.marks import Tips
from resformer.reporting.figures.style import RC
from resformer.reporting.layout import Layout
from resformer.reporting.schema import Report, Score
from resformer.reporting.text.words import UNITS
from resformer.results.members import Findings
from resformer.store import files

_RESULT: Mapping[Score, Mapping[str, str]] = {
    "steps": {
        "of_rate": "the mean of the {result}, within the budget",
        "less": "quicker",
        "order": "those with the deepest limit first, of equal ones the quickest",
        "hatched": "fewer than half solved",
        "hatched_rate": " Hatched: none solved.",
    },
    "final_loss": {
        "of_rate": "the median {result}, at most that at initialisation",
        "less": "lower",
        "order": "those that end lowest first",
        "hatched": "half or more diverged",
        "hatched_rate": "",
    },
}
"""Words of captions on the result that members are judged by."""
Form = Literal["svg", "png"]
_FORMS: tuple[Form, ...] = ("svg", "png")
_KINDS = {
    "steps": steps,
    "final_loss": final_loss,
    "solved": solved,
    "heatmap": heatmap,
    "doublings": doublings,
    "curves": curves,
    "multiples": multiples,
    "rates": rates,
    "gradient": gradient,
}


@final
@dataclass(frozen=True, kw_only=True)
class Plot:
    """Figure of one panel."""

    kind: str
    label: str
    """The panel's label, fit for a file's name."""
    title: str
    """The panel's title; empty if it is the only one."""
    caption: str
    figure: Figure
    tips: Tips
    """Tooltips by id in the SVG."""

    @property
    def name(self) -> str:
        """File name without suffix."""
        return f"{self.kind}-{self.label}"

    def rendered(self, form: Form) -> bytes:
        """Content of the figure's file: the same bytes each time."""
        buffer = io.BytesIO()
        metadata = {"Date": None} if form == "svg" else None
        with _style():
            self.figure.savefig(buffer, format=form, dpi=150, metadata=metadata)
        return buffer.getvalue()


def plots(findings: Findings, report: Report, layout: Layout) -> Iterator[Plot]:
    """Figures of every panel; UserError if a curve is damaged."""
    unit = UNITS[report.per]
    for data in panel_data(findings, report, layout):
        words = {"unit": unit, "Unit": f"{unit[0].upper()}{unit[1:]}", "step": data.step}
        result = {"result": data.result_name}
        words |= result
        words |= {name: text.format(**result) for name, text in _RESULT[report.score].items()}
        for kind, module in _KINDS.items():
            tips = Tips()
            with _style():
                figure = module.draw(data, tips)
            if figure is not None:
                yield Plot(
                    kind=kind,
                    label=data.panel.label,
                    title=data.panel.title,
                    caption=module.CAPTION.format(**words),
                    figure=figure,
                    tips=tips,
                )


def draw(findings: Findings, report: Report, layout: Layout, folder: Path) -> list[Path]:
    """Write every figure into a folder as .svg and .png and return the paths; UserError if the
    folder cannot be written.
    """
    return _write(plots(findings, report, layout), folder)


def draw_layers(probed: Probed, titles: Mapping[str, str], folder: Path) -> list[Path]:
    """Write a figure per measure of a probe, as `draw` does; `titles` are by measure."""
    return _write(_layer_plots(probed, titles), folder)


def _layer_plots(probed: Probed, titles: Mapping[str, str]) -> Iterator[Plot]:
    for measure, title in titles.items():
        with _style():
            figure = layers.draw(probed, measure, title)
        if figure is not None:
            yield Plot(
                kind="layers", label=measure, title="", caption=title, figure=figure, tips=Tips()
            )


def _write(plots: Iterable[Plot], folder: Path) -> list[Path]:
    paths = []
    with writing("--figures", folder):
        folder.mkdir(parents=True, exist_ok=True)
        for plot in plots:
            for form in _FORMS:
                paths.append(folder / f"{plot.name}.{form}")
                files.write(paths[-1], plot.rendered(form))
    return paths


@contextmanager
def _style() -> Iterator[None]:
    """Apply these figures' settings instead of the user's; letters missing from the font are
    tolerated.
    """
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()
        mpl.rcParams.update(RC)
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield
