"""Text that came from elsewhere, made fit for the database."""


def storable(text: str, most: int) -> str:
    """Its beginning, without what PostgreSQL does not store: NUL, and halves of surrogate pairs."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()[:most]
