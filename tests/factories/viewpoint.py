import factory
from factory.django import DjangoModelFactory

from inspection.models import Viewpoint

from .product import ProductFactory


class ViewpointFactory(DjangoModelFactory):
    class Meta:
        model = Viewpoint

    product = factory.SubFactory(ProductFactory)
