"""One writer at a time per parent row, on every database."""

from django.db.models import F, Model


def lock_row(row: Model) -> None:
    """Hold `row` until the running transaction ends.

    An UPDATE that changes nothing locks the row on PostgreSQL and the file on SQLite, where
    `select_for_update` would do nothing.
    """
    type(row)._default_manager.filter(pk=row.pk).update(created_at=F("created_at"))
