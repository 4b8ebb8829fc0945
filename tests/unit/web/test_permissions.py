"""One check per address × role: what a person may not see does not exist for them."""

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.test import Client
from django.urls import URLPattern, get_resolver, reverse
from django.urls.converters import IntConverter, UUIDConverter
from django.utils import timezone

from inspection import policies
from inspection.models import JobState, Product, Role, TrainingRun
from inspection.web import access, urls
from tests.factories.membership import MembershipFactory
from tests.factories.product import ProductFactory
from tests.factories.user import UserFactory
from tests.unit.web.conftest import World

OPEN_TO_ALL = {"healthz", "readyz", "metrics", "language"}
ENGINEERS_ONLY = {"edit", "upload_new", "train"}
INSPECTORS_ONLY = {"batch_new"}


def test_pages_exist_for_members_only(world: World, engineer: Client, stranger: Client) -> None:
    for name, address in world.pages().items():
        assert engineer.get(address).status_code == 200, name
        assert stranger.get(address).status_code == 404, name


def test_a_viewer_looks_but_does_not_touch(world: World, viewer: Client) -> None:
    for name, address in world.pages().items():
        wanted = 403 if name in ENGINEERS_ONLY | INSPECTORS_ONLY else 200
        assert viewer.get(address).status_code == wanted, name


def store(world: World) -> None:
    """Files for every address, so that 404 can only mean "not yours"."""
    image, result = world.item.image, world.result
    keys = [image.thumbnail_key, result.view_key, result.restored_key, result.heatmap_key]
    keys += [world.sample.storage_key, f"previews/{image.sha256[:2]}/{image.sha256[2:4]}/"]
    for key in keys[:-1]:
        default_storage.save(key, ContentFile(b"picture"))
    default_storage.save(f"{keys[-1]}{image.sha256}.webp", ContentFile(b"picture"))


def test_pictures_are_sent_to_members_only(
    world: World, viewer: Client, stranger: Client, nobody: Client
) -> None:
    store(world)
    for name, address in world.files().items():
        answer = viewer.get(address)
        assert answer.status_code == 200, name
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert answer["Content-Type"] in ("image/webp", "image/png")
        assert answer["Cache-Control"].startswith("private, ")
        assert stranger.get(address).status_code == 404, name
        assert nobody.get(address).status_code == 404, name
        assert Client().get(address).status_code == 302, name


def patterns() -> list[URLPattern]:
    return [p for p in urls.urlpatterns if p.name not in OPEN_TO_ALL]


@pytest.mark.parametrize("pattern", patterns(), ids=lambda p: p.name)
def test_nobody_gets_in_without_signing_in(pattern: URLPattern, db: None) -> None:
    wanted = {"key": "0" * 8 + "-0000-7000-8000-" + "0" * 12}
    values: dict[str, str | int] = {
        name: wanted["key"]
        if isinstance(converter, UUIDConverter)
        else 0
        if isinstance(converter, IntConverter)
        else "view"
        for name, converter in pattern.pattern.converters.items()
    }
    address = reverse(pattern.name, kwargs=values)
    for method in ("get", "post"):
        answer = getattr(Client(), method)(address)
        assert answer.status_code == 302, (method, address, answer.status_code)
        assert answer["Location"].startswith("/accounts/login/")


WRITES_OF_ENGINEERS = ("run_cancel", "run_resume", "vetting_suggested", "vetting_continue")


@pytest.mark.parametrize("name", WRITES_OF_ENGINEERS)
def test_a_viewer_cannot_change_a_run(world: World, viewer: Client, name: str) -> None:
    TrainingRun.objects.filter(pk=world.run.pk).update(state=JobState.PAUSED)
    answer = viewer.post(reverse(name, args=[world.run.pk]))
    assert answer.status_code == 403
    assert "needs the role Engineer" in answer.content.decode()
    world.run.refresh_from_db()
    assert world.run.state == JobState.PAUSED


@pytest.mark.parametrize("name", ["batch_cancel", "batch_seal", "batch_upload"])
def test_a_viewer_cannot_change_a_batch(world: World, viewer: Client, name: str) -> None:
    assert viewer.post(reverse(name, args=[world.batch.pk])).status_code == 403
    world.batch.refresh_from_db()
    assert world.batch.sealed_at is None
    assert world.batch.cancel_requested_at is None


def test_a_stranger_cannot_even_name_it(world: World, stranger: Client) -> None:
    assert stranger.post(reverse("batch_cancel", args=[world.batch.pk])).status_code == 404
    assert stranger.post(reverse("run_cancel", args=[world.run.pk])).status_code == 404
    address = reverse("upload_file", args=[world.upload.pk])
    sent = stranger.post(address, b"x", content_type="application/octet-stream")
    assert sent.status_code == 404


def test_users_are_an_administrators_matter(engineer: Client, stranger: Client) -> None:
    for client in (engineer, stranger):  # both administer at most one product
        assert client.get(reverse("settings_users")).status_code == 403
        assert client.post(reverse("settings_users"), {"username": "x"}).status_code == 403


def test_lists_show_only_what_one_may_see(world: World, nobody: Client, viewer: Client) -> None:
    name = Product.objects.get(pk=world.product.pk).name
    for page in ("products", "models", "jobs"):
        assert name in viewer.get(reverse(page)).content.decode(), page
        assert name not in nobody.get(reverse(page)).content.decode(), page


def test_every_address_has_a_name() -> None:
    assert all(p.name for p in get_resolver("inspection.web.urls").url_patterns)


def test_what_pages_show_is_what_the_policy_says(world: World) -> None:
    """`access.may_see` is the policy as one query; the two must never part."""
    archived = ProductFactory(archived_at=timezone.now())
    ProductFactory()
    people = [
        UserFactory(),
        UserFactory(is_superuser=True),
        UserFactory(role=Role.VIEWER),
        MembershipFactory(product=world.product).user,
        MembershipFactory(product=archived).user,
    ]
    for user in people:
        assert set(access.visible(user, Product)) == set(policies.visible_products(user))
    sees = [archived in access.visible(user, Product) for user in people]
    assert sees == [False, True, True, False, True], "archived or not, who may see it"
