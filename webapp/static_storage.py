"""Static files by the hash of their content, also where one script imports another."""

from typing import Any

from django.conf import settings
from django.contrib.staticfiles.storage import HashedFilesMixin
from whitenoise.compress import Compressor
from whitenoise.storage import CompressedManifestStaticFilesStorage

OWN_MODULES = "js/*.js"  # other packages' files are left as they came


class StaticStorage(CompressedManifestStaticFilesStorage):  # type: ignore[misc]
    """Without this an `import "./live.js"` would fetch a second, unhashed copy of the module."""

    patterns = (
        *HashedFilesMixin.patterns,
        (OWN_MODULES, HashedFilesMixin._js_module_import_aggregation_patterns[1]),  # type: ignore[attr-defined]
    )

    def create_compressor(self, **options: Any) -> Compressor:
        """Brotli at its best takes two minutes of processor time for what gzip does in two
        seconds: worth it once in an image, not whenever a demo or a test starts."""
        skipped = (*Compressor.SKIP_COMPRESS_EXTENSIONS, "map")  # maps are for debuggers
        brotli = settings.STATIC_BROTLI
        return Compressor(**{**options, "extensions": skipped, "use_brotli": brotli})
