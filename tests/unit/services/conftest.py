import pytest

from inspection.models import Upload
from tests.factories.upload import UploadFactory


@pytest.fixture
def upload(db: None) -> Upload:
    """An open upload into a dataset."""
    return UploadFactory()
