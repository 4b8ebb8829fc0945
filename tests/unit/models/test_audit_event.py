import pytest

from inspection.models import AppendOnlyError, AuditEvent, Product
from inspection.services import audit

pytestmark = pytest.mark.django_db


def test_the_trail_is_only_appended_to():
    board = Product.objects.create(code="PCB-1", name="Board")
    event = audit.record(None, "product.created", board, product=board, after={"code": "PCB-1"})
    assert (event.actor_name, event.object_type, event.object_id) == ("system", "product", board.pk)
    event.reason = "second thoughts"
    with pytest.raises(AppendOnlyError):
        event.save()
    with pytest.raises(AppendOnlyError):
        event.delete()
    with pytest.raises(AppendOnlyError):
        AuditEvent.objects.all().delete()
    with pytest.raises(AppendOnlyError):
        AuditEvent.objects.update(reason="rewritten")
    assert AuditEvent.objects.get(pk=event.pk).reason == ""
