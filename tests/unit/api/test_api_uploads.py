"""A picture in pieces through the API: by key and scope, and its picture is the sender's."""

import base64
import hashlib
from typing import Any

import pytest

from inspection.models import Image, PartialFile
from inspection.services.pictures import visible_images
from tests.factories.api_key import Program, key_of
from tests.factories.files import picture, pictures, zipped
from tests.factories.product import ProductFactory
from tests.factories.user import UserFactory

pytestmark = pytest.mark.django_db
VERSION = {"Tus-Resumable": "1.0.0"}
BYTES = "application/offset+octet-stream"


@pytest.fixture(autouse=True)
def product() -> None:
    """Something that pictures may be about."""
    ProductFactory()


def program(*scopes: str) -> tuple[Any, Program]:
    user = UserFactory(role="inspector")
    return user, Program(key_of(user, scopes or ("images:read", "images:write")))


def announce(sender: Program, content: bytes, name: str = "a.png") -> Any:
    metadata = f"filename {base64.b64encode(name.encode()).decode()}"
    headers = {**VERSION, "Upload-Length": str(len(content)), "Upload-Metadata": metadata}
    return sender.generic("POST", "/api/v1/uploads", headers=headers)


def piece(sender: Program, place: str, offset: int, body: bytes) -> Any:
    headers = {**VERSION, "Upload-Offset": str(offset)}
    return sender.generic("PATCH", place, body, content_type=BYTES, headers=headers)


def test_a_picture_in_pieces_is_its_senders_picture() -> None:
    user, sender = program()
    content = picture(1)
    place = announce(sender, content)["Location"]
    assert place.startswith("/api/v1/uploads/")
    assert piece(sender, place, 0, content[:1000]).status_code == 204
    head = sender.head(place, headers=VERSION)
    assert (head["Upload-Offset"], head["Cache-Control"]) == ("1000", "no-store")
    assert sender.get(place).json()["state"] == "receiving"
    assert piece(sender, place, 1000, content[1000:]).status_code == 204
    told = sender.get(place).json()
    assert (told["state"], told["outcome"]) == ("done", "accepted")
    image = Image.objects.get(pk=told["image_id"])
    assert image.sha256 == hashlib.sha256(content).hexdigest()
    assert visible_images(user).filter(pk=image.pk).exists()
    assert not visible_images(UserFactory()).filter(pk=image.pk).exists()


def test_what_is_no_picture_is_refused_in_words() -> None:
    _, sender = program()
    for content, name in ((b"text", "a.png"), (zipped(pictures(1)), "lot.zip")):
        place = announce(sender, content, name)["Location"]
        assert piece(sender, place, 0, content).status_code == 204
        told = sender.get(place).json()
        assert (told["outcome"], told["image_id"]) == ("refused", None)
        assert name in told["message"]


def test_options_and_method_override() -> None:
    _, sender = program()
    content = picture(1)
    place = announce(sender, content)["Location"]
    for path in ("/api/v1/uploads", place):
        answer = sender.options(path)
        assert (answer.status_code, answer["Tus-Version"]) == (204, "1.0.0")
    headers = {**VERSION, "Upload-Offset": "0", "X-HTTP-Method-Override": "PATCH"}
    answer = sender.generic("POST", place, content[:9], content_type=BYTES, headers=headers)
    assert (answer.status_code, answer["Upload-Offset"]) == (204, "9")
    assert sender.delete(place, headers=VERSION).status_code == 204
    assert not PartialFile.objects.exists()


def test_refusals_are_problem_documents() -> None:
    _, sender = program()
    place = announce(sender, b"x" * 9)["Location"]
    for answer, status in (
        (piece(sender, place, 5, b"x"), 409),
        (sender.generic("PATCH", place, b"x", content_type=BYTES), 412),
        (sender.post("/api/v1/uploads"), 412),
    ):
        assert answer.status_code == status
        assert answer["Content-Type"] == "application/problem+json"
        assert answer["Tus-Resumable"] == "1.0.0"


def test_keys_need_the_scope_and_see_only_their_owners() -> None:
    _, sender = program()
    place = announce(sender, b"x" * 9)["Location"]
    _, reader = program("images:read")
    assert announce(reader, b"x").status_code == 403
    _, other = program()
    assert other.head(place, headers=VERSION).status_code == 404
    assert piece(other, place, 0, b"x").status_code == 404
    assert other.delete(place, headers=VERSION).status_code == 404
    assert Program("kin_wrong").head(place, headers=VERSION).status_code == 401


def test_who_submits_nowhere_sends_no_pieces_either() -> None:
    user, sender = program()
    content = picture(1)
    kept, whole = (announce(sender, content)["Location"] for _ in range(2))
    rows = PartialFile.objects.filter(pk=whole.rpartition("/")[2])
    rows.get().path.write_bytes(content)
    rows.update(offset=len(content))  # all of it is here, and nobody took it yet
    user.memberships.update(role="viewer")
    assert announce(sender, content).status_code == 403
    answer = piece(sender, kept, 0, content)
    assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed")
    assert sender.get(whole).json()["code"] == "not_allowed"
    assert not Image.objects.exists()
    assert sender.delete(kept, headers=VERSION).status_code == 204, "one's own may be given up"
