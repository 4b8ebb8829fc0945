"""Template tags of the pages, built in for every template."""

from typing import Any

from django import template
from django.template import defaultfilters
from django.utils.safestring import SafeString
from django.utils.translation import get_language

from inspection.models import Inspection, Job
from inspection.services import audit_trail
from inspection.web import markup, outlines, words, words_audit
from inspection.web.limits import per_cent

register = template.Library()
register.filter("duration", words.duration)
register.filter("reads_audit_trail", audit_trail.may_read)
register.filter("score", words.score_text)
register.filter("stage_word", words.stage_word)
register.filter("flag_word", words.flag_word)
register.filter("image_word", words.image_word)
register.filter("method_word", words.method_word)
register.filter("percent", words.percent)
register.filter("action_word", words_audit.action_word)
register.simple_tag(markup.icon, name="icon")
register.simple_tag(markup.options, name="options")
register.simple_tag(markup.place_grid, name="place_grid")
register.simple_tag(markup.tiles, name="defect_tiles")
register.simple_tag(markup.tag, name="sign")


@register.simple_tag
def verdict(inspection: Inspection) -> SafeString:
    return markup.tag(words.verdict_sign(inspection.verdict, inspection.disposition))


@register.simple_tag
def job_state(job: Job) -> SafeString:
    return markup.tag(words.job_sign(job))


@register.simple_tag
def outline(regions: Any, image: Any, most: int = outlines.ON_A_TILE) -> str:
    """The path of the strongest regions, in pixels of the picture."""
    return outlines.path(outlines.strongest(regions, most), image.width, image.height)


@register.filter
def times(value: Any, factor: Any) -> float:
    """Plain multiplication, for sizes in SVG."""
    return round(float(value) * float(factor), 3)


@register.filter
def get(mapping: Any, key: Any) -> Any:
    return mapping.get(key) if mapping else None


@register.filter
def megabytes(size: Any) -> str:
    """`1234567` → `1.2 MB`."""
    value = float(size or 0)
    return f"{value / 1e6:.1f} MB" if value >= 1e5 else f"{value / 1e3:.0f} kB"


@register.filter
def percent1(fraction: Any) -> str:
    """`0.0123` → `1.2 %`; what would read as nothing says that it is less than something."""
    if fraction not in (None, "") and 0 < float(fraction) < 0.0005:
        return "< 0.1 %"
    return "" if fraction in (None, "") else f"{float(fraction) * 100:.1f} %"


@register.filter
def field_percent(fraction: Any) -> str:
    """A rate as a number field holds it, in per cent."""
    return "" if fraction in (None, "") else per_cent(float(fraction))


@register.filter
def verdict_sign_of(key: str) -> words.Sign:
    """`pass`, `fail` or `review` as the sign that pages show."""
    return words.BY_KEY[key]


# How Chinese writes the dates that templates ask for in the English order.
CHINESE_DATES = (
    ("D j M Y", "Y年n月j日 D"),
    ("D j M", "n月j日 D"),
    ("j M Y", "Y年n月j日"),
    ("j M", "n月j日"),
)


@register.filter(expects_localtime=True, is_safe=False)
def date(value: Any, how: str | None = None) -> str:
    """Django's own filter, in the order of the reader's language."""
    if how and (get_language() or "").startswith("zh"):
        for english, chinese in CHINESE_DATES:
            if english in how:
                how = how.replace(f"{english},", chinese).replace(english, chinese)
                break
    return str(defaultfilters.date(value, how))


@register.filter
def unlocalised(value: Any) -> str:
    """A number for an attribute: always with a point, whatever the language."""
    return str(value)


@register.filter
def anchor(place: Any) -> str:
    """How a label at `place` per cent of a width is anchored, so that it is never cut off."""
    return "start" if float(place) < 22 else "end" if float(place) > 78 else "middle"
