import hashlib
import io
import threading
from pathlib import Path

import pytest
from django.core.files.storage import default_storage
from django.db import connection
from PIL import Image as Pillow

from inspection.errors import UserError
from inspection.models import Image
from inspection.services import disk, images
from tests.factories.files import picture
from tests.factories.user import UserFactory


def store(name: str, content: bytes) -> tuple[Image, bool]:
    return images.store_image(None, name, io.BytesIO(content))


@pytest.mark.django_db
def test_a_picture_is_kept_as_it_came_under_its_hash() -> None:
    content, user = picture(1), UserFactory()
    image, created = images.store_image(user, "part 7.png", io.BytesIO(content))
    digest = hashlib.sha256(content).hexdigest()
    assert created
    assert image.sha256 == digest
    assert image.storage_key == f"images/{digest[:2]}/{digest[2:4]}/{digest}.png"
    assert images.local_path(image).read_bytes() == content
    assert (image.original_name, image.format, image.mode) == ("part 7.png", "PNG", "RGB")
    assert (image.size_bytes, image.uploaded_by) == (len(content), user)


@pytest.mark.django_db
def test_the_same_bytes_are_kept_once() -> None:
    first, _ = store("a.png", picture(1))
    second, created = store("b.png", picture(1))
    assert (second, created) == (first, False)


@pytest.mark.django_db
def test_an_original_that_a_power_cut_broke_is_written_anew() -> None:
    image, _ = store("a.png", picture(1))
    images.local_path(image).write_bytes(b"half")
    again, _ = store("a.png", picture(1))
    assert again == image
    assert images.local_path(image).read_bytes() == picture(1)


@pytest.mark.django_db
def test_a_thumbnail_fits_256_pixels() -> None:
    image, _ = store("wide.png", picture(1, size=(600, 200)))
    with Pillow.open(images.thumbnail(image)) as small:
        assert (small.format, small.size) == ("WEBP", (256, 85))


@pytest.mark.django_db
def test_a_full_disk_refuses_before_anything_is_written(settings) -> None:
    settings.MIN_FREE_GB = disk.free_gb() + 1000
    with pytest.raises(UserError) as refused:
        store("a.png", picture(1))
    assert refused.value.code == "disk_full"
    assert not Image.objects.exists()


@pytest.mark.django_db
def test_a_remote_original_is_fetched_once(monkeypatch, settings) -> None:
    image, _ = store("a.png", picture(1))
    opened: list[str] = []

    def no_path(name: str) -> str:
        raise NotImplementedError

    def counted(name: str, mode: str = "rb") -> object:
        opened.append(name)
        return io.BytesIO(picture(1))

    monkeypatch.setattr(default_storage, "path", no_path, raising=False)
    monkeypatch.setattr(default_storage, "open", counted, raising=False)
    paths = {images.local_path(image) for _ in range(2)}
    assert paths == {Path(settings.VAR_DIR) / "cache" / image.storage_key}
    assert paths.pop().read_bytes() == picture(1)
    assert len(opened) == 1


@pytest.mark.django_db(transaction=True)
def test_two_that_arrive_together_both_succeed() -> None:
    start = threading.Barrier(8)
    got: list[Image] = []

    def one() -> None:
        try:
            start.wait()
            got.append(store("a.png", picture(1))[0])
        finally:
            connection.close()

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 8
    assert {image.pk for image in got} == {Image.objects.get().pk}
    assert images.local_path(got[0]).read_bytes() == picture(1)
    folder = images.local_path(got[0]).parent
    assert [file.name for file in folder.iterdir()] == [f"{got[0].sha256}.png"]
