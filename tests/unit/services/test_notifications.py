"""Who is told, what counts as unread, and that the pages of the person hear of it at once."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.translation import gettext_lazy

from inspection.models import Notification, Role
from inspection.services import notifications
from inspection.services.notifications import COUNTED, KEPT_DAYS, mark_read, notify, unread_count
from tests.factories.membership import MembershipFactory
from tests.factories.product import ProductFactory
from tests.factories.user import UserFactory

pytestmark = pytest.mark.django_db


def told(who: Any, **more: Any) -> set[str]:
    rows = notify(who, kind="alert", title="Drift", **more)
    return {row.user.username for row in rows}


def test_everybody_with_the_role_for_the_product_is_told() -> None:
    product, other = ProductFactory.create_batch(2)
    for name, role, where in (
        ("here", Role.ENGINEER, product),
        ("above", Role.ADMINISTRATOR, product),
        ("everywhere", Role.ENGINEER, None),
        ("below", Role.INSPECTOR, product),
        ("elsewhere", Role.ENGINEER, other),
        ("gone", Role.ENGINEER, product),
    ):
        user = UserFactory(username=name, is_active=name != "gone")
        MembershipFactory(user=user, role=role, product=where)
    UserFactory(username="root", is_superuser=True)
    UserFactory(username="nobody")
    assert told(Role.ENGINEER, product=product) == {"here", "above", "everywhere", "root"}
    assert told(Role.ENGINEER) == {"everywhere", "root"}


def test_somebody_with_two_roles_is_told_once() -> None:
    product = ProductFactory()
    user = UserFactory(role="engineer")
    MembershipFactory(user=user, product=product, role=Role.ADMINISTRATOR)
    assert len(notify(Role.VIEWER, kind="x", title="Once", product=product)) == 1
    assert len(notify([user, user], kind="x", title="Once")) == 1


def test_a_disabled_account_is_not_told() -> None:
    assert notify(UserFactory(is_active=False), kind="x", title="Nothing") == []


def test_too_long_words_are_cut_and_do_not_fail_the_work() -> None:
    [row] = notify(UserFactory(), kind="k" * 99, title="t" * 999, url="/" + "u" * 999)
    row.refresh_from_db()
    assert (len(row.kind), len(row.title), len(row.url)) == (40, 200, 300)


def test_unread_until_read_and_only_for_its_owner() -> None:
    user, other = UserFactory(), UserFactory()
    first, _ = notify([user, other], kind="x", title="First")
    notify(user, kind="x", title="Second")
    assert (unread_count(user), unread_count(other)) == (2, 1)
    assert mark_read(other, [first.pk]) == 0
    assert mark_read(user, [first.pk]) == 1
    assert mark_read(user, [first.pk]) == 0
    assert unread_count(user) == 1
    assert mark_read(user) == 1
    assert (unread_count(user), unread_count(other)) == (0, 1)


def test_counting_stops_where_nobody_counts_further() -> None:
    user = UserFactory()
    for _ in range(COUNTED + 5):
        notify(user, kind="x", title="One more")
    with CaptureQueriesContext(connection) as asked:
        assert unread_count(user) == COUNTED + 1
    assert len(asked) == 1


def test_pages_of_the_person_hear_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[tuple[Any, str, dict[str, Any]]] = []
    monkeypatch.setattr(
        notifications, "push_to", lambda user, type, **payload: heard.append((user, type, payload))
    )
    user = UserFactory()
    notify(user, kind="x", title="Ready", text="Lot 7", url="/reports/")
    mark_read(user)
    mark_read(user)
    assert heard == [
        (user.pk, "notification", {"title": "Ready", "text": "Lot 7", "url": "/reports/"}),
        (user.pk, "read", {}),
    ]


def test_what_was_read_long_ago_goes_and_what_nobody_read_stays() -> None:
    user = UserFactory()
    old = timezone.now() - timedelta(days=KEPT_DAYS + 1)
    read, unread, _ = (notify(user, kind="x", title=title)[0] for title in ("a", "b", "c"))
    Notification.objects.filter(pk=read.pk).update(read_at=old, created_at=old)
    Notification.objects.filter(pk=unread.pk).update(created_at=old)
    assert notifications.drop_old() == 1
    assert not Notification.objects.filter(pk=read.pk).exists()


def test_everybody_is_told_in_their_own_language() -> None:
    people = [UserFactory(language=language) for language in ("en", "zh-hant")]
    titles = [row.title for row in notify(people, kind="x", title=gettext_lazy("Reports"))]
    assert titles == ["Reports", "報告"]
