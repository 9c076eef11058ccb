"""Drawing with matplotlib without its global state, and the result as SVG that can stand inside a page."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from palate.errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

INK: Final = "#1f2933"
QUIET: Final = "#b8c2cc"
LINE: Final = "#d9dfe5"
ACCENT: Final = "#0f766e"
SECOND_ACCENT: Final = "#c2703d"

_STYLE: Final[dict[Any, Any]] = {
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "text.parse_math": False,
    "axes.edgecolor": LINE,
    "axes.labelcolor": "#52606d",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#eef1f4",
    "xtick.color": "#52606d",
    "ytick.color": "#52606d",
    "xtick.direction": "out",
    "svg.fonttype": "none",
    "svg.hashsalt": "palate",
}


class Drawn:
    """What a drawing comes to."""

    def __init__(self, heat: Colormap) -> None:
        self.heat = heat
        self.svg = ""
        """The picture, once the drawing is done."""


def require_matplotlib() -> None:
    """Raise a `MissingExtraError` where matplotlib is not installed."""
    try:
        import matplotlib as _  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("matplotlib", "plots") from error


@contextmanager
def draw(name: str, *, width: float = 4.7, height: float = 2.9) -> Iterator[tuple[Axes, Drawn]]:
    """Give axes of that size in inches; on leaving, the picture is in ``svg`` of the second value.

    ``name`` is different for each picture of a page: it starts every id inside the SVG.
    """
    require_matplotlib()
    from matplotlib import rc_context
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

    drawn = Drawn(LinearSegmentedColormap.from_list("heat", ["#f2f7f6", ACCENT, "#083d39"]))
    with rc_context(_STYLE), warnings.catch_warnings():
        # The reader's fonts show the text, so it is no matter what glyphs the font for measuring lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure.add_subplot(), drawn
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    drawn.svg = _inline(file.getvalue(), name)


def _inline(svg: str, name: str) -> str:
    """The ``svg`` element alone, sized by the page, its ids made unique."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) (?:width|height)="[^"]*"', r"\1", svg)
    svg = re.sub(r'(<svg[^>]*?) (?:width|height)="[^"]*"', r"\1", svg)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = svg.replace("url(#", f"url(#{name}-").replace('href="#', f'href="#{name}-')
    return svg.strip()
