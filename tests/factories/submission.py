"""What an MES sends, with a product that has a model and a user who may send."""

from itertools import count
from typing import Any

from inspection.models import ModelVersion, Role, Station, User
from inspection.services.submission_fields import Asked, read_fields
from inspection.services.submissions import Submitted, submit

from .jobs import make_image, make_version

PATH = "POST /api/v1/inspections"
_numbers = count(1)


def make_sender(version: ModelVersion, role: Role = Role.INSPECTOR) -> User:
    """A member of the version's product."""
    user = User.objects.create_user(f"mes-{next(_numbers)}")
    user.memberships.create(product=version.viewpoint.product, role=role)
    return user


def make_asked(version: ModelVersion | None = None, **fields: Any) -> Asked:
    """A submission from a known station of one new picture, unless `fields` say otherwise."""
    version = version or make_version()
    images = fields.pop("images", None) or [make_image()]
    Station.objects.get_or_create(code="AOI-1", defaults={"name": "AOI"})
    number = next(_numbers)
    return read_fields(
        {
            "external_id": f"E{number}",
            "station_id": "AOI-1",
            "recipe": {"name": version.viewpoint.recipe_name},
            "serial_number": f"SN{number}",
            **fields,
        },
        images,
    )


def send(user: User, asked: Asked, key: str = "") -> Submitted:
    """Submit it, under a new key unless one is named."""
    key = key or f"key-{next(_numbers)}"
    return submit(user, asked, idempotency_key=key, method_path=PATH)
