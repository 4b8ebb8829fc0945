"""Products: part types, each with a viewpoint and a dataset of good parts."""

from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy
from django.utils.translation import gettext_noop as _

from inspection import policies
from inspection.errors import UserError, WrongState
from inspection.models import Dataset, Product, User, Viewpoint

from .access import require
from .audit import record

GOOD_PARTS = "Good parts"
FIELDS = (
    "code",
    "name",
    "description",
    "ipc_class",
    "opportunities_per_unit",
    "cost_escape",
    "cost_overkill",
    "currency",
    "audit_rate",
    "second_look_rate",
)
COSTS = ("cost_escape", "cost_overkill")
SHARES = ("audit_rate", "second_look_rate")
MAX_COST = Decimal(10**10)


def create_product(user: User | None, *, code: str, name: str, **fields: Any) -> Product:
    """A new product with the viewpoint `main` and an empty dataset “Good parts”.

    Other fields: see FIELDS. Raises UserError with the field that is wrong.
    """
    require(user, policies.MANAGE, None)
    product = Product(**_clean({"code": code, "name": name, **fields}))
    with transaction.atomic():
        _check(product)
        product.save(force_insert=True)
        _with_dataset(Viewpoint.objects.create(product=product))
        record(user, "product.created", product, product=product, after=_plain(product, FIELDS))
    return product


def edit_product(user: User | None, product: Product, **fields: Any) -> Product:
    """Change fields of a product; what stays the same is not written down."""
    require(user, policies.MANAGE, product)
    cleaned = _clean(fields)
    with transaction.atomic():
        product.refresh_from_db()
        changed = [key for key, value in cleaned.items() if getattr(product, key) != value]
        before = _plain(product, changed)
        for key in changed:
            setattr(product, key, cleaned[key])
        if changed:
            _check(product)
            product.save(update_fields=changed)
            after = _plain(product, changed)
            record(user, "product.edited", product, product=product, before=before, after=after)
    return product


def archive_product(user: User | None, product: Product, reason: str = "") -> Product:
    """Take a product off the lists of what can be worked with. Its pictures, models and verdicts
    stay, and whoever could see them still can."""
    require(user, policies.MANAGE, product)
    with transaction.atomic():
        there = Product.objects.filter(pk=product.pk, archived_at=None)
        if not there.update(archived_at=timezone.now()):
            raise WrongState(
                "already_archived", "{product} is archived already.", product=product.code
            )
        record(user, "product.archived", product, product=product, reason=reason[:300])
    product.refresh_from_db()
    return product


def restore_product(user: User | None, product: Product) -> Product:
    """Bring an archived product back to the lists, as it was."""
    require(user, policies.MANAGE, product)
    with transaction.atomic():
        archived = Product.objects.filter(pk=product.pk, archived_at__isnull=False)
        if not archived.update(archived_at=None):
            raise WrongState("not_archived", "{product} is not archived.", product=product.code)
        record(user, "product.restored", product, product=product)
    product.refresh_from_db()
    return product


def create_viewpoint(
    user: User | None, product: Product, *, code: str, name: str, side: str = ""
) -> Viewpoint:
    """Another side or camera of a product, with a dataset of its own."""
    require(user, policies.MANAGE, product)
    policies.check_in_use(product)
    viewpoint = Viewpoint(product=product, code=code.strip(), name=name.strip(), side=side.strip())
    with transaction.atomic():
        if product.viewpoints.filter(code__iexact=viewpoint.code).exists():
            raise UserError(
                "code_taken",
                "{product} has a viewpoint {viewpoint} already. Choose another code.",
                product=product.code,
                viewpoint=viewpoint.code,
                field="code",
            )
        _validate(viewpoint)
        viewpoint.save(force_insert=True)
        _with_dataset(viewpoint)
        after = {"code": viewpoint.code, "name": viewpoint.name, "side": viewpoint.side}
        record(user, "viewpoint.created", viewpoint, product=product, after=after)
    return viewpoint


def good_dataset(viewpoint: Viewpoint) -> Dataset:
    """The dataset that this viewpoint learns from."""
    dataset = viewpoint.datasets.filter(purpose=Dataset.Purpose.GOOD).order_by("id").first()
    return dataset or _with_dataset(viewpoint)


def _with_dataset(viewpoint: Viewpoint) -> Dataset:
    return Dataset.objects.get_or_create(
        viewpoint=viewpoint, name=GOOD_PARTS, defaults={"purpose": Dataset.Purpose.GOOD}
    )[0]


# --- what may be in a field --------------------------------------------------------------


def _clean(fields: dict[str, Any]) -> dict[str, Any]:
    """Trimmed texts and amounts as Decimal; raises for a field that a product has not."""
    unknown = set(fields) - set(FIELDS)
    if unknown:
        raise TypeError(f"a product has no {', '.join(sorted(unknown))}")
    return {key: _value(key, value) for key, value in fields.items()}


def _value(key: str, value: Any) -> Any:
    if key in COSTS:
        return _amount(key, value)
    if key in ("ipc_class", "opportunities_per_unit"):
        return _count(key, value)
    if key in SHARES:
        return _share(key, value)
    text = str(value).strip()
    return text.upper() if key == "currency" else text


def _amount(key: str, value: Any) -> Decimal | None:
    if value in (None, ""):
        return None
    try:
        amount = Decimal(str(value)).quantize(Decimal("0.01"))
    except InvalidOperation:
        raise _wrong(key, _("{label} must be an amount like 12.50, or empty.")) from None
    if not (amount.is_finite() and 0 <= amount < MAX_COST):
        sentence = _("{label} must be an amount from 0 to 9,999,999,999.99, or empty.")
        raise _wrong(key, sentence)
    return amount


def _count(key: str, value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        raise _wrong(key, _("{label} must be a whole number.")) from None


def _share(key: str, value: Any) -> float:
    try:
        share = float(value)
    except (TypeError, ValueError):
        raise _wrong(key, _("{label} must be a number from 0 to 1.")) from None
    if not 0.0 <= share <= 1.0:
        raise _wrong(key, _("{label} must lie between 0 and 1."))
    return share


def _check(product: Product) -> None:
    if not product.code:
        sentence = _("{label} is missing: the number by which your MES knows the part.")
        raise _wrong("code", sentence)
    if not product.name:
        raise _wrong("name", _("{label} is missing: what your people call the part."))
    if product.opportunities_per_unit < 1:
        sentence = _("{label} must be 1 or more: places on a part that can fail.")
        raise _wrong("opportunities_per_unit", sentence)
    same = Product.objects.filter(code__iexact=product.code).exclude(pk=product.pk).first()
    if same:
        here = _(
            "There is a product with the part number {number} already: {name}. Choose another "
            "part number or use that product."
        )
        archived = _(
            "There is a product with the part number {number} already: {name}. It is archived. "
            "Choose another part number or restore that product."
        )
        raise UserError(
            "code_taken",
            archived if same.archived_at else here,
            number=same.code,
            name=same.name,
            field="code",
        )
    _validate(product)


def _validate(thing: Product | Viewpoint) -> None:
    """What the model itself says of its fields (lengths, choices), the first as UserError."""
    try:
        thing.clean_fields()
    except ValidationError as error:
        key, messages = next(iter(error.message_dict.items()))
        raise UserError(
            "invalid",
            "{label}: {trouble}",
            label=gettext_lazy(_label(thing, key)),
            trouble=" ".join(messages),
            field=key,
        ) from error


def _wrong(key: str, sentence: str) -> UserError:
    return UserError("invalid", sentence, label=gettext_lazy(_label(Product, key)), field=key)


# Names of fields that no form shows under this name: written here to be translated.
_("Opportunities per unit")
_("Cost escape")
_("Cost overkill")
_("Share of passed parts drawn for an audit")
_("Share of reviewed parts that get a blind second look")


def _label(thing: Product | Viewpoint | type[Product], key: str) -> str:
    """The name of a field as forms show it."""
    label = str(getattr(thing._meta.get_field(key), "verbose_name", key))
    return label[0].upper() + label[1:]


def _plain(product: Product, keys: Any) -> dict[str, Any]:
    """Values as JSON can hold them."""
    values = {key: getattr(product, key) for key in keys}
    return {k: str(v) if isinstance(v, Decimal) else v for k, v in values.items()}
