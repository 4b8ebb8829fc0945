import factory
from factory.django import DjangoModelFactory

from inspection.models import Role, User

PASSWORD = "a long enough password"


class UserFactory(DjangoModelFactory):
    """Somebody who signs in with PASSWORD. `role="engineer"` gives it for all products."""

    class Meta:
        model = User
        skip_postgeneration_save = True

    username = factory.Sequence(lambda n: f"user-{n}")

    @factory.post_generation
    def password(self, create: bool, given: str | None, **_: object) -> None:
        self.set_password(given or PASSWORD)
        self.save()

    @factory.post_generation
    def role(self, create: bool, given: str | None, **_: object) -> None:
        if given:
            self.memberships.create(role=Role(given), product=None)
