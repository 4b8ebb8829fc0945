"""Markup that one page needs dozens of times, made by Python: the template engine takes ten times
as long for it. Everything that people or machines named is escaped here."""

from collections.abc import Iterable
from functools import lru_cache
from html import escape
from typing import Any

from django.templatetags.static import static
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from inspection.services.verdicts import CELLS

from . import words
from .reads_defects import Row

TILE = (
    '<div class="pick-tile"><a id="i-{key}" class="tile verdict-tile {tone}" href="{address}" '
    'data-step title="{name}"><span class="tile-picture">{picture}</span>'
    '<span class="cap"><span>{verdict}</span>{score}</span><span class="cap cap-more">'
    '<small class="cap-name">{name}</small>{reviewed}</span></a>{pick}</div>\n'
)
PHOTO = (
    '<img class="photo" src="{}" alt="{}" width="256" height="256" loading="lazy" decoding="async">'
)
HEAT = '<img class="heat" data-src="{}" alt="" width="256" height="256">'
OUTLINE = (
    '<svg class="regions" viewBox="0 0 {} {}" preserveAspectRatio="xMidYMid slice" '
    'aria-hidden="true"><path class="under" d="{d}"/><path d="{d}"/></svg>'
)
REVIEWED = (
    '<small class="cap-review {}" title="{word}">{}<span class="visually-hidden">{word}</span>'
    "</small>"
)
PICK = (
    '<label class="pick"><input class="form-check-input" type="checkbox" name="inspection" '
    'value="{key}" aria-label="{word} {name}"></label>'
    '<input type="hidden" name="seen" value="{key}.{state}">'
)
PLACE = (
    '<label title="{said}"><input type="radio" name="cell" value="{}"{}>'
    '<span class="visually-hidden">{said}</span></label>'
)


@lru_cache(maxsize=512)
def icon(name: str, size: str = "") -> SafeString:
    """One symbol of the sprite. Decorative: the word beside it says the same."""
    kind = f" i-{escape(size)}" if size else ""
    sprite = escape(f"{static('icons.svg')}#{name}")
    return mark_safe(f'<svg class="i{kind}" aria-hidden="true"><use href="{sprite}"/></svg>')  # noqa: S308


def tag(sign: words.Sign) -> SafeString:
    """A sign as a label with its icon and word."""
    return mark_safe(  # noqa: S308
        f'<span class="tag {sign.tone}" data-sign="{sign.key}">{icon(sign.icon, "s")}'
        f"{escape(str(sign.word))}</span>"
    )


def options(pairs: Iterable[tuple[Any, Any]], chosen: Any = "") -> SafeString:
    """The choices of a list as (value, words), with the chosen one marked."""
    wanted = str(chosen)
    return mark_safe(  # noqa: S308
        "".join(
            f'<option value="{escape(value)}"{" selected" if value == wanted else ""}>'
            f"{escape(str(said))}</option>"
            for value, said in ((str(value), said) for value, said in pairs)
        )
    )


def place_grid(chosen: str = "") -> SafeString:
    """The places of a part, as buttons of which one is chosen."""
    row, column = escape(_("row")), escape(_("column"))
    return mark_safe(  # noqa: S308
        "".join(
            PLACE.format(
                number,
                " checked" if chosen == str(number) else "",
                said=f"{row} {number // CELLS + 1}, {column} {number % CELLS + 1}",
            )
            for number in range(CELLS * CELLS)
        )
    )


def tiles(rows: Iterable[Row], may_pick: bool) -> SafeString:
    """Inspections as pictures with what was said of them."""
    caption = lru_cache(None)(_caption)  # a page has few signs; translate each once
    word = escape(_("Pick")) if may_pick else ""
    return mark_safe("".join(_tile(row, caption, word) for row in rows))  # noqa: S308


def _caption(sign: words.Sign) -> str:
    return f"{icon(sign.icon, 's')}{escape(str(sign.word))}"


def _tile(row: Row, caption: Any, pick: str) -> str:
    name, key = escape(row.name), row.inspection.pk
    score = row.inspection.score
    picked = {"key": key, "word": pick, "name": name, "state": escape(row.inspection.review_state)}
    return TILE.format(
        key=key,
        tone=f"{row.sign.tone} waiting" if row.sign is words.WAITING else row.sign.tone,
        address=escape(row.address),
        name=name,
        picture=_picture(row, name),
        verdict=caption(row.sign),
        score="" if score is None else f"<small>{escape(words.score_text(score))}</small>",
        reviewed=_reviewed(row.reviewed) if row.reviewed else "",
        pick=PICK.format(**picked) if pick else "",
    )


def _picture(row: Row, name: str) -> str:
    parts = [PHOTO.format(row.thumb, name)] if row.thumb else []
    if row.heat:
        parts.append(HEAT.format(row.heat))
    if row.outline:
        parts.append(OUTLINE.format(row.width, row.height, d=escape(row.outline)))
    return "".join(parts)


def _reviewed(sign: words.Sign) -> str:
    return REVIEWED.format(sign.tone, icon(sign.icon, "s"), word=escape(str(sign.word)))
