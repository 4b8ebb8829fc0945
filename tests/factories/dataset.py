import factory
from factory.django import DjangoModelFactory

from inspection.models import Dataset, DatasetImage, DatasetSnapshot

from .image import ImageFactory
from .viewpoint import ViewpointFactory


class DatasetFactory(DjangoModelFactory):
    class Meta:
        model = Dataset

    viewpoint = factory.SubFactory(ViewpointFactory)
    name = "Good parts"


class DatasetImageFactory(DjangoModelFactory):
    class Meta:
        model = DatasetImage

    dataset = factory.SubFactory(DatasetFactory)
    image = factory.SubFactory(ImageFactory)
    file_name = factory.SelfAttribute("image.original_name")


class DatasetSnapshotFactory(DjangoModelFactory):
    class Meta:
        model = DatasetSnapshot

    dataset = factory.SubFactory(DatasetFactory)
    number = factory.Sequence(lambda n: n + 1)
