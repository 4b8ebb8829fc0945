import hashlib

import factory
from factory.django import DjangoModelFactory

from inspection.models import Image


class ImageFactory(DjangoModelFactory):
    """A row without a file. A picture with one: `inspection.services.images.store_image`."""

    class Meta:
        model = Image

    original_name = factory.Sequence(lambda n: f"part-{n:04}.png")
    sha256 = factory.Sequence(lambda n: hashlib.sha256(f"image {n}".encode()).hexdigest())
    format = "PNG"
    size_bytes = 1234
    width = 64
    height = 48
    mode = "RGB"
    storage_key = factory.LazyAttribute(lambda o: f"images/{o.sha256}.png")
    thumbnail_key = factory.LazyAttribute(lambda o: f"thumbs/{o.sha256}.webp")
