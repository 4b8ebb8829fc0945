"""Reason codes: what people call the defects of one product. Retired, never deleted."""

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from inspection import policies
from inspection.errors import UserError, WrongState
from inspection.models import Product, ReasonCode, User

from .access import require
from .audit import record


def create_reason_code(user: User | None, product: Product, *, code: str, text: str) -> ReasonCode:
    """A new code of `product`; one that was retired comes back with the new text."""
    require(user, policies.MANAGE, product)
    code, text = code.strip(), text.strip()
    new = ReasonCode(product=product, code=code, text=text)
    try:
        new.clean_fields(exclude=["id"])
    except ValidationError as error:
        field, messages = next(iter(error.message_dict.items()))
        raise UserError("invalid", " ".join(messages), field=field) from error
    with transaction.atomic():
        known = product.reason_codes.filter(code__iexact=code).first()
        if known is not None:
            return _bring_back(user, known, text)
        try:
            with transaction.atomic():
                new.save(force_insert=True)
        except IntegrityError as error:
            raise _taken(new) from error
        after = {"code": code, "text": text}
        record(user, "reason_code.created", new, product=product, after=after)
    return new


def retire_reason_code(user: User | None, reason_code: ReasonCode) -> ReasonCode:
    """Take it off the lists to choose from; what was judged with it keeps it."""
    require(user, policies.MANAGE, reason_code.product)
    with transaction.atomic():
        there = ReasonCode.objects.filter(pk=reason_code.pk, retired_at=None)
        if not there.update(retired_at=timezone.now()):
            raise WrongState("already_retired", "{code} is retired already.", code=reason_code.code)
        reason_code.refresh_from_db()
        before = {"code": reason_code.code, "text": reason_code.text}
        product = reason_code.product
        record(user, "reason_code.retired", reason_code, product=product, before=before)
    return reason_code


def check_usable(reason_code: ReasonCode, product: Product) -> None:
    """Raise unless `reason_code` may be given to a part of `product` now."""
    if reason_code.product_id != product.pk:
        raise UserError(
            "foreign_reason",
            "{code} is a reason code of another product.",
            code=reason_code.code,
            field="reason_code",
        )
    if reason_code.retired_at is not None:
        raise UserError(
            "retired_reason",
            "The reason code {code} is retired. Choose another.",
            code=reason_code.code,
            field="reason_code",
        )


def _bring_back(user: User | None, known: ReasonCode, text: str) -> ReasonCode:
    retired = ReasonCode.objects.filter(pk=known.pk, retired_at__isnull=False)
    if not retired.update(retired_at=None, text=text):
        raise _taken(known)
    before = {"code": known.code, "text": known.text, "retired": True}
    known.refresh_from_db()
    record(
        user,
        "reason_code.restored",
        known,
        product=known.product,
        before=before,
        after={"code": known.code, "text": known.text, "retired": False},
    )
    return known


def _taken(reason_code: ReasonCode) -> UserError:
    return UserError(
        "code_taken",
        "{product} has the reason code {code} already. Choose another code.",
        product=reason_code.product.code,
        code=reason_code.code,
        field="code",
    )
