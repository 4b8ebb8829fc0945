"""Static files by the hash of their content, also where one script imports another."""

from django.contrib.staticfiles.storage import HashedFilesMixin
from whitenoise.storage import CompressedManifestStaticFilesStorage

OWN_MODULES = "js/*.js"  # other packages' files are left as they came


class StaticStorage(CompressedManifestStaticFilesStorage):  # type: ignore[misc]
    """Without this an `import "./live.js"` would fetch a second, unhashed copy of the module."""

    patterns = (
        *HashedFilesMixin.patterns,
        (OWN_MODULES, HashedFilesMixin._js_module_import_aggregation_patterns[1]),  # type: ignore[attr-defined]
    )
