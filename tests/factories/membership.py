import factory
from factory.django import DjangoModelFactory

from inspection.models import Membership, Role

from .product import ProductFactory
from .user import UserFactory


class MembershipFactory(DjangoModelFactory):
    """A role for one product; `product=None` makes it one for all."""

    class Meta:
        model = Membership

    user = factory.SubFactory(UserFactory)
    product = factory.SubFactory(ProductFactory)
    role = Role.VIEWER
