"""The inspections that somebody asks for as one file, for whoever opens it in a spreadsheet."""

from typing import ClassVar

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from inspection.exchange.inspections_csv import answer_of
from inspection.services.inspection_search import search

from .base import Base
from .files import AnyAccept
from .inspection_query import InspectionQuery

FILE = {(200, "text/csv"): OpenApiTypes.BINARY}


class InspectionsCsv(Base):
    """The file of the page Defects."""

    noun = "inspections"
    tag = "inspections"
    content_negotiation_class = AnyAccept
    queries: ClassVar = {"get": InspectionQuery}

    @extend_schema(operation_id="inspections_csv", responses=FILE)
    def get(self, request: Request) -> StreamingHttpResponse:
        """All that the list of inspections would tell when asked the same, in its order, as CSV
        with the columns of the page Defects. It is sent while it is read, however long it is: a
        connection that ends before the last chunk is a file that is not whole."""
        return answer_of(search(self.user, self.query))
