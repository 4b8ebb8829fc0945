"""Lists in pages by key: `{results, next, previous}`, stable while rows come in."""

from typing import Any

from rest_framework import exceptions
from rest_framework.pagination import CursorPagination

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
            return super().decode_cursor(request)
        except exceptions.NotFound as error:
            raise exceptions.ValidationError({"cursor": [self.invalid_cursor_message]}) from error
