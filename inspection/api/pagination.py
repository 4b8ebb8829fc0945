"""Lists in pages by key: `{results, next, previous}`, stable while rows come in."""

import base64
import binascii
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q
from rest_framework import exceptions
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.utils.urls import replace_query_param

from inspection.ids import FIRST_YEAR, LAST_YEAR

PER_PAGE, MOST_PER_PAGE = 50, 500


class Pages(CursorPagination):
    """Newest first by the rows' keys, which are ordered by time."""

    ordering = "-id"
    page_size = PER_PAGE
    max_page_size = MOST_PER_PAGE
    page_size_query_param = "limit"
    cursor_query_description = "Where to read on: taken from `next` or `previous`."
    page_size_query_description = f"Rows of a page, at most {MOST_PER_PAGE}."
    invalid_cursor_message = "This cursor is none of ours. Begin again without one."

    def decode_cursor(self, request: Any) -> Any:
        """A cursor with anything in it but a position in this list is a 422, not a 500."""
        try:
            cursor = super().decode_cursor(request)
            if cursor and cursor.position is not None:
                UUID(str(cursor.position))
        except (exceptions.NotFound, ValueError) as error:
            raise self.refused() from error
        return cursor

    def refused(self) -> exceptions.ValidationError:
        return exceptions.ValidationError({"cursor": [self.invalid_cursor_message]})


class NewestFirst(Pages):
    """Newest first in the order that the rows ask for themselves: where another order than that
    of the keys finds them sooner, it sorts alike."""

    page: list[Any]

    def below(self, request: Any) -> UUID | None:
        """The key from which older rows are read; None from the newest, or towards them."""
        cursor = self.decode_cursor(request)
        forward = cursor and cursor.position is not None and not cursor.reverse
        return UUID(str(cursor.position)) if forward else None

    def paginate_queryset(self, queryset: Any, request: Any, view: Any = None) -> list[Any]:
        self.base_url, size = request.build_absolute_uri(), self.get_page_size(request) or PER_PAGE
        cursor = self.decode_cursor(request) or Cursor(0, False, None)
        back, key = cursor.reverse, cursor.position
        if key is not None:
            rows = queryset.filter(pk__gt=key) if back else queryset.filter(pk__lt=key)
            queryset = rows.reverse() if back else rows
        rows = list(queryset[: size + 1])
        beyond = len(rows) > size
        self.page = rows[:size][::-1] if back else rows[:size]
        self.has_next = back or beyond
        self.has_previous = beyond if back else key is not None
        return self.page

    def get_next_link(self) -> str | None:
        return self._link(-1, reverse=False) if self.has_next and self.page else None

    def get_previous_link(self) -> str | None:
        return self._link(0, reverse=True) if self.has_previous and self.page else None

    def _link(self, at: int, *, reverse: bool) -> str:
        key: Any = str(self.page[at].pk)  # a position; the library's types want a number
        link: str = self.encode_cursor(Cursor(0, reverse, key))
        return link


class ByChange(Pages):
    """Oldest change first, by (updated_at, id): who reads on meets every later change, and a row
    that changes meanwhile once more. There is no way back."""

    page: list[Any]

    def paginate_queryset(self, queryset: Any, request: Any, view: Any = None) -> list[Any]:
        self.request, size = request, self.get_page_size(request) or PER_PAGE
        if text := request.query_params.get(self.cursor_query_param, ""):
            at, key = self._position(text)
            later = Q(updated_at__gt=at) | Q(updated_at=at, pk__gt=key)
            queryset = queryset.filter(later, updated_at__gte=at)
        rows = list(queryset.order_by("updated_at", "pk")[: size + 1])
        self.page, self.has_more = rows[:size], len(rows) > size
        return self.page

    def get_next_link(self) -> str | None:
        if not self.has_more:
            return None
        last = self.page[-1]
        text = f"{last.updated_at.isoformat()}|{last.pk}"
        address = self.request.build_absolute_uri()
        cursor = base64.urlsafe_b64encode(text.encode()).decode()
        return replace_query_param(address, self.cursor_query_param, cursor)

    def get_previous_link(self) -> None:
        return None

    def _position(self, text: str) -> tuple[datetime, UUID]:
        try:
            at, _bar, key = base64.urlsafe_b64decode(text).decode().partition("|")
            moment = datetime.fromisoformat(at)
            if moment.tzinfo is None or not FIRST_YEAR <= moment.year <= LAST_YEAR:
                raise ValueError("no moment")
            return moment, UUID(key)
        except (ValueError, binascii.Error) as error:
            raise self.refused() from error
