"""Documents as PDF. WeasyPrint (extra `pdf`) is imported when a report is made, because it
needs Pango, which not every machine has; `missing()` says what to install.

A long report is laid out in parts, so that it can say how far it is and be cancelled, and is
joined at the end.
"""

import ctypes.util
import importlib.util
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.template.loader import render_to_string
from django.utils.translation import gettext_noop as _

from inspection.errors import UserError

if TYPE_CHECKING:
    from weasyprint import Document

PANGO = ("pango-1.0", "pangoft2-1.0")
FONTS = Path(settings.BASE_DIR) / "webapp" / "static" / "vendor" / "noto-sans-tc"
FONT_FACES = "".join(
    f'@font-face {{ font-family: "Kintsugi TC"; font-weight: {weight}; src: url(font:{weight}) }}'
    for weight in (400, 700)
)
CHINESE = re.compile("[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]")
Pictures = Mapping[str, Callable[[], bytes]]
"""JPEG pictures by the name under which the HTML asks for them, made when they are asked for."""


@lru_cache(maxsize=1)
def missing() -> str:
    """What must be installed before a PDF can be made, in English; empty when all is there."""
    if importlib.util.find_spec("weasyprint") is None:
        return _("PDF reports need WeasyPrint. On the server: pip install 'kintsugi[pdf]'")
    if not all(ctypes.util.find_library(name) for name in PANGO):
        return _(
            "PDF reports need Pango. On the server: apt install libpango-1.0-0 libpangoft2-1.0-0"
        )
    return ""


def check() -> None:
    """Raise UserError with what to install."""
    if missing():
        raise UserError("pdf_missing", missing())


class Pdf:
    """A document that grows by parts; every part is one template."""

    def __init__(self, title: str) -> None:
        check()
        self.title = title
        self._documents: list[Document] = []
        self._pages = 0
        self._fonts = _font_configuration()

    def add(self, template: str, context: dict[str, Any], pictures: Pictures | None = None) -> None:
        """Lay out one part. It begins on a new page and goes on with the page numbers."""
        from weasyprint import HTML

        whole = {**context, "title": self.title, "pages_before": self._pages}
        html: str = render_to_string(template, whole)
        if CHINESE.search(html):  # the font is large: it is opened only where it is needed
            html = html.replace("<style>", f"<style>{FONT_FACES}", 1)
        fetcher = _fetcher(pictures or {})
        part = HTML(string=html, base_url="report:", url_fetcher=fetcher).render(
            font_config=self._fonts
        )
        self._documents.append(part)
        self._pages += len(part.pages)

    def write(self, target: Path) -> int:
        """Write all parts as one file; returns the number of its pages."""
        pages = [page for part in self._documents for page in part.pages]
        self._documents[0].copy(pages).write_pdf(str(target))
        return len(pages)


def _font_configuration() -> Any:
    from weasyprint.text.fonts import FontConfiguration

    return FontConfiguration()


def _fetcher(pictures: Pictures) -> Any:
    """Hands out the pictures of the report and our own fonts. Nothing else is ever read: what
    a name or a comment says must not make the server open a file or an address."""
    from weasyprint.urls import URLFetcher, URLFetcherResponse

    class OwnThingsOnly(URLFetcher):
        def fetch(self, url: str, headers: Any = None) -> Any:
            kind, _sep, name = url.partition(":")
            if kind == "picture" and name in pictures:
                return URLFetcherResponse(url, pictures[name](), {"Content-Type": "image/jpeg"})
            if kind == "font" and name in ("400", "700"):
                font = FONTS / f"noto-sans-tc-{name}.woff2"
                return URLFetcherResponse(url, font.read_bytes(), {"Content-Type": "font/woff2"})
            raise ValueError(f"a report does not read {url}")

    return OwnThingsOnly()


def in_parts(items: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
