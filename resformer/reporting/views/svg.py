"""SVG of a figure for use inside a page: no styles, unique ids, the page's ink, and tips."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping

from resformer.reporting.figures.style import FAINT, INK

_SVG, _LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"
_DROPPED = ("metadata", "style")
_BACKGROUND = "patch_1"
_INK = {INK: "1", FAINT: "0.4"}
"""Opacity of the page's ink that replaces ours, so that dark pages have light figures."""
_REFERRED = ("path", "clipPath", "pattern")
"""Elements that others refer to by id."""
_TOO_FINE = re.compile(r"(?<=\.\d\d)\d+")
"""Digits behind hundredths of a point."""


def inline(svg: bytes, prefix: str, label: str, tips: Mapping[str, str]) -> str:
    """SVG element to be put into HTML. `label` is its text for screen readers; `tips` are texts by
    the id of an element.

    Ids begin with the prefix, so that those of several figures differ. There is no `style` in it,
    element or attribute, so a strict content security policy can hold.
    """
    root = ET.fromstring(svg)
    _drop(root)
    for part in list(root.iter()):
        part.tag = part.tag.removeprefix(_SVG)
        part.text, part.tail = (
            text if text and text.strip() else None for text in (part.text, part.tail)
        )
        attributes = {
            key: value for key, value in part.attrib.items() if key not in ("id", "style")
        }
        attributes |= _presentation(part.get("style", ""))
        name = part.get("id", "")
        part.attrib.clear()
        for key, value in attributes.items():
            part.attrib |= _attribute(key, value, prefix)
        if name and part.tag in _REFERRED:
            part.set("id", f"{prefix}-{name}")
        if name in tips:
            title = ET.Element("title")
            title.text = tips[name]
            part.insert(0, title)
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    root.attrib |= {
        "role": "img",
        "aria-label": label,
        "stroke-linejoin": "round",
        "stroke-linecap": "butt",
    }
    return ET.tostring(root, encoding="unicode")


def _drop(part: ET.Element) -> None:
    """Remove what a page has no use for."""
    for child in list(part):
        if child.tag.removeprefix(_SVG) in _DROPPED or child.get("id") == _BACKGROUND:
            part.remove(child)
        else:
            _drop(child)


def _presentation(style: str) -> dict[str, str]:
    """A style as attributes; the font is the page's, only its size stays."""
    rules = dict(rule.split(": ", 1) for rule in style.split("; ") if rule)
    size = re.search(r"[\d.]+px", rules.pop("font", ""))
    rules.pop("font-family", None)
    return {**rules, **({"font-size": size[0]} if size else {})}


def _attribute(key: str, value: str, prefix: str) -> dict[str, str]:
    """An attribute as it stands in the page."""
    if value in _INK:
        return {key: "currentColor", f"{key}-opacity": _INK[value]}
    if key == _LINK:
        return {"href": f"#{prefix}-{value[1:]}"}
    return {key: _TOO_FINE.sub("", value.replace("url(#", f"url(#{prefix}-"))}
