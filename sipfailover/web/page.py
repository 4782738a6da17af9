"""The page for people: HTML from `templates/`, style and icons from `static/`, all out of the package, no script.

It works without JavaScript: the browser asks again every `REFRESH_SECONDS`. Jinja escapes everything.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined

from sipfailover.proxy.view import EngineView, TrunkView

from . import words
from .views import all_warnings
from .words import Show, Wall, sentence

REFRESH_SECONDS = 5
CONTENT_TYPES = {".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
LABELS = {"ok": "All good", "degraded": "Look here", "down": "Calls fail"}
"""What the title of the browser's tab says for each state of the sentence."""


@dataclass(frozen=True, slots=True)
class Static:
    """One file of `static/`."""

    body: bytes
    content_type: str
    version: str
    """Changes with the content, so that browsers may keep the file for ever."""


class Page:
    """Renders the page for one site. Templates and files are read once."""

    def __init__(self, *, site: str, version: str) -> None:
        self.static = _static_files()
        environment = Environment(
            loader=PackageLoader("sipfailover.web"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.globals.update(
            site=site, version=version, asset=self._asset, refresh_seconds=REFRESH_SECONDS, labels=LABELS
        )
        environment.filters.update(lasted=words.lasted, talk_time=words.talk_time, milliseconds=words.milliseconds)
        self._template = environment.get_template("page.html")

    def render(
        self,
        view: EngineView,
        wall: Wall,
        *,
        draining: bool = False,
        warnings: Sequence[str] = (),
        still: bool = False,
        show: Show = words.mask,
    ) -> str:
        """The whole page. `still`: do not reload by itself; `show`: how numbers are written for this reader."""
        return self._template.render(
            view=view,
            sentence=sentence(view, wall, draining=draining),
            warnings=all_warnings(view, warnings),
            still=still,
            sign=sign,
            show=show,
            clock=lambda at: words.clock(at, view.now, wall),
            exact=lambda at: words.rfc3339(at, wall),
            now=wall(view.now),
        )

    def _asset(self, name: str) -> str:
        return f"/static/{name}?v={self.static[name].version}"


def sign(trunk: TrunkView) -> tuple[str, str]:
    """(shape, word) of a card: what people ordered, where that differs from `enabled`, else what was observed."""
    if trunk.order == "enabled":
        if not (trunk.tier or trunk.carries_new_calls) and trunk.registration.startswith("Not registered"):
            return "suspect", "Not registered"  # a PBX of which nothing was observed cannot be Up
        return trunk.health.lower(), trunk.health
    return "off", trunk.order.capitalize()


def _static_files() -> dict[str, Static]:
    found = {}
    for file in resources.files("sipfailover.web").joinpath("static").iterdir():
        suffix = file.name[file.name.rfind(".") :]
        if suffix in CONTENT_TYPES:
            body = file.read_bytes()
            found[file.name] = Static(body, CONTENT_TYPES[suffix], hashlib.sha256(body).hexdigest()[:12])
    return found
