"""Watched files in an S3 store: the objects below a prefix of a bucket."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import PurePosixPath
from typing import Any

from inspection.errors import UserError

from .archives import is_litter
from .intake_seen import (
    PROCESSED,
    REJECTED,
    Heard,
    Reading,
    Seen,
    changed,
    gone,
    nobody,
    unreadable,
    vanished,
)

S3 = "s3://"
S3_WAIT_S = 5
PAGE = 1000  # objects of one answer; no store gives more
LAST_SIGN = "\U0010ffff"  # sorts behind whatever a key may have in its place
GONE = ("NoSuchKey", "NotFound", "404")
CHANGED = ("PreconditionFailed", "ConditionalRequestConflict", "412")


class Bucket:
    """A prefix of a bucket; credentials, region and address come from the environment."""

    def __init__(self, bucket: str, prefix: str) -> None:
        import boto3  # type: ignore[import-untyped]
        from botocore.config import Config  # type: ignore[import-untyped]

        # Tried twice: three times would outlast the lease of whoever waits for it.
        limits = Config(
            connect_timeout=S3_WAIT_S, read_timeout=4 * S3_WAIT_S, retries={"max_attempts": 1}
        )
        self.bucket, self.prefix = bucket, prefix
        self.skipped: dict[bytes, str] = {}  # a store lists everything or nothing
        self.client: Any = boto3.client("s3", config=limits)

    def files(self, after: bytes = b"", heard: Heard = nobody) -> Iterator[Seen]:
        """Every object below the prefix that sorts behind `after`, but those that were put
        away. Raises UserError `no_folder`. `heard` is called before every page."""
        from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

        page = {"StartAfter": self.prefix + after.decode()} if after else {}
        try:
            while True:
                heard()
                answer = self.client.list_objects_v2(
                    Bucket=self.bucket, Prefix=self.prefix, MaxKeys=PAGE, **page
                )
                last = ""
                for one in answer.get("Contents", ()):
                    last = str(one["Key"])
                    yield from self._seen(one)
                if not answer.get("IsTruncated"):
                    return
                behind = self._behind_put_away(last)
                page = (
                    {"StartAfter": behind}
                    if behind
                    else {"ContinuationToken": answer["NextContinuationToken"]}
                )
        except (BotoCoreError, ClientError) as error:
            raise gone(f"{S3}{self.bucket}/{self.prefix}", error) from error

    def _behind_put_away(self, last: str) -> str:
        """Where to go on when `last` was put away: those grow for ever and are never read."""
        for folder in (PROCESSED, REJECTED):
            end = f"{self.prefix}{folder}/{LAST_SIGN}"
            if last.startswith(f"{self.prefix}{folder}/") and last < end:
                return end
        return ""

    def _seen(self, one: dict[str, Any]) -> Iterator[Seen]:
        key = str(one["Key"]).removeprefix(self.prefix)
        top = PurePosixPath(key).parts[:1]
        if not key or key.endswith("/") or is_litter(key) or top in ((PROCESSED,), (REJECTED,)):
            return
        written = one["LastModified"].timestamp()
        yield Seen(key.encode(), int(one["Size"]), _version(one), modified=written)

    @contextmanager
    def open(self, seen: Seen) -> Iterator[Reading]:
        """The object, as it was seen. Raises UserError: vanished, unreadable, changed."""
        from botocore.exceptions import BotoCoreError, ClientError
        from urllib3.exceptions import HTTPError

        try:
            answer = self.client.get_object(
                Bucket=self.bucket, Key=self._key(seen), IfMatch=f'"{seen.version}"'
            )
        except ClientError as error:
            raise _refusal(seen, error) or unreadable(seen, error) from error
        except (BotoCoreError, OSError) as error:
            raise unreadable(seen, error) from error
        # Not `with answer["Body"]`: that gives the bare connection, whose end nobody checks.
        with closing(answer["Body"]) as stream:
            yield Reading(seen, stream, (BotoCoreError, HTTPError, OSError))

    def move(self, seen: Seen, folder: str, mark: str) -> None:
        """Copy, then delete: killed in between, both are done once more."""
        self._check_same(seen)
        target = f"{self.prefix}{folder}/{seen.key.decode()}"
        if self._there(target):
            stem, dot, ending = target.rpartition(".")
            target = f"{stem or target}-{mark}{dot + ending if stem else ''}"
        origin = {"Bucket": self.bucket, "Key": self._key(seen)}
        with _refusing(seen):
            self.client.copy_object(
                Bucket=self.bucket, Key=target, CopySource=origin, CopySourceIfMatch=seen.version
            )
        self.delete(seen)

    def _there(self, key: str) -> bool:
        found = self.client.list_objects_v2(Bucket=self.bucket, Prefix=key, MaxKeys=1)
        return any(one["Key"] == key for one in found.get("Contents", ()))

    def delete(self, seen: Seen) -> None:
        """Delete what was read and nothing newer. Not every store keeps to the condition, so
        the object is looked at immediately before as well."""
        from botocore.exceptions import ClientError

        self._check_same(seen)
        place = {"Bucket": self.bucket, "Key": self._key(seen)}
        with _refusing(seen):
            try:
                self.client.delete_object(**place, IfMatch=f'"{seen.version}"')
            except ClientError as error:
                if _code(error) != "NotImplemented":
                    raise
                self.client.delete_object(**place)

    def _check_same(self, seen: Seen) -> None:
        with _refusing(seen):
            found = self.client.head_object(Bucket=self.bucket, Key=self._key(seen))
        if _version(found) != seen.version:
            raise changed(seen)

    def _key(self, seen: Seen) -> str:
        return self.prefix + seen.key.decode()


def _version(one: dict[str, Any]) -> str:
    return str(one["ETag"]).strip('"')[:80]


@contextmanager
def _refusing(seen: Seen) -> Iterator[None]:
    """What the store says of an object that is another one now, as UserError."""
    from botocore.exceptions import ClientError

    try:
        yield
    except ClientError as error:
        if refusal := _refusal(seen, error):
            raise refusal from error
        raise


def _refusal(seen: Seen, error: Any) -> UserError | None:
    if _code(error) in GONE:
        return vanished(seen)
    return changed(seen) if _code(error) in CHANGED else None


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
