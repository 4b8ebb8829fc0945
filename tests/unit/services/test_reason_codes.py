import pytest

from inspection.errors import NotAllowed, UserError, WrongState
from inspection.models import AuditEvent, Product, ReasonCode, Role
from inspection.services.reason_codes import create_reason_code, retire_reason_code
from tests.factories.product import ProductFactory
from tests.factories.user import UserFactory


@pytest.fixture
def product(db: None) -> Product:
    return ProductFactory(code="AX-7")


def test_a_code_is_made_and_written_down(product: Product) -> None:
    made = create_reason_code(None, product, code=" BRIDGE ", text=" Solder bridge ")
    assert (made.code, made.text, made.retired_at) == ("BRIDGE", "Solder bridge", None)
    event = AuditEvent.objects.get()
    assert (event.action, event.after) == (
        "reason_code.created",
        {"code": "BRIDGE", "text": "Solder bridge"},
    )


@pytest.mark.parametrize("code", ["BRIDGE", "bridge"])
def test_a_code_is_there_once_per_product(product: Product, code: str) -> None:
    create_reason_code(None, product, code="BRIDGE", text="Solder bridge")
    with pytest.raises(UserError, match="AX-7 has the reason code") as refused:
        create_reason_code(None, product, code=code, text="Again")
    assert refused.value.field == "code"
    create_reason_code(None, ProductFactory(), code=code, text="Elsewhere")


@pytest.mark.parametrize(
    ("code", "text", "field"), [("", "x", "code"), ("x", "", "text"), ("x" * 41, "x", "code")]
)
def test_what_is_missing_or_too_long_is_named(
    product: Product, code: str, text: str, field: str
) -> None:
    with pytest.raises(UserError) as refused:
        create_reason_code(None, product, code=code, text=text)
    assert refused.value.field == field


def test_a_retired_code_comes_back_by_its_name(product: Product) -> None:
    made = create_reason_code(None, product, code="BRIDGE", text="Solder bridge")
    retire_reason_code(None, made)
    with pytest.raises(WrongState, match="retired already"):
        retire_reason_code(None, made)
    back = create_reason_code(None, product, code="BRIDGE", text="Bridge of solder")
    assert back.pk == made.pk
    assert ReasonCode.objects.get().retired_at is None
    event = AuditEvent.objects.first()
    assert event is not None
    assert event.before["retired"]
    assert event.after == {"code": "BRIDGE", "text": "Bridge of solder", "retired": False}


@pytest.mark.parametrize("role", [None, Role.VIEWER, Role.INSPECTOR])
def test_codes_are_an_engineers_matter(product: Product, role: Role | None) -> None:
    user = UserFactory(role=role)
    with pytest.raises(NotAllowed):
        create_reason_code(user, product, code="A", text="B")
    made = create_reason_code(UserFactory(role=Role.ENGINEER), product, code="A", text="B")
    with pytest.raises(NotAllowed):
        retire_reason_code(user, made)
