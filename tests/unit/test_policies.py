"""Who may do what: every role against every scope, from membership rows only."""

import pytest
from django.utils import timezone

from inspection import policies
from inspection.errors import NotAllowed, WrongState
from inspection.models import Membership, Product, Role, User

pytestmark = pytest.mark.django_db


@pytest.fixture
def board() -> Product:
    return Product.objects.create(code="PCB-1", name="Board")


@pytest.fixture
def other() -> Product:
    return Product.objects.create(code="PCB-2", name="Other board")


def someone(role: Role | None = None, product: Product | None = None) -> User:
    user = User.objects.create_user(f"user-{role}-{product and product.code}")
    if role:
        Membership.objects.create(user=user, product=product, role=role)
    return user


@pytest.mark.parametrize("held", list(Role))
@pytest.mark.parametrize("needed", list(Role))
def test_a_role_includes_the_lower_ones_and_no_higher(held: Role, needed: Role, board: Product):
    order = list(Role)
    assert policies.can(someone(held, board), needed, board) == (
        order.index(held) >= order.index(needed)
    )


def test_a_product_role_says_nothing_of_other_products(board: Product, other: Product):
    engineer = someone(Role.ENGINEER, board)
    assert not policies.can(engineer, Role.VIEWER, other)
    assert not policies.can(engineer, Role.VIEWER, None)
    assert list(policies.visible_products(engineer)) == [board]


def test_a_role_over_all_products_reaches_each(board: Product, other: Product):
    viewer = someone(Role.VIEWER)
    assert policies.can(viewer, Role.VIEWER, other)
    assert set(policies.visible_products(viewer)) == {board, other}


def test_the_higher_of_two_roles_holds(board: Product):
    user = someone(Role.VIEWER)
    Membership.objects.create(user=user, product=board, role=Role.ENGINEER)
    assert policies.role_for(user, board) == Role.ENGINEER
    assert policies.role_for(user, None) == Role.VIEWER


def test_nobody_and_the_disabled_see_nothing(board: Product):
    disabled = someone(Role.ADMINISTRATOR)
    disabled.is_active = False
    disabled.save()
    for user in (disabled, someone()):
        assert not policies.can(user, Role.VIEWER, board)
        with pytest.raises(NotAllowed, match="needs the role Viewer for PCB-1"):
            policies.check(user, Role.VIEWER, board)
    assert not policies.visible_products(someone(None, board)).exists()


def test_archived_products_are_seen_as_before_and_not_worked_with(board: Product, other: Product):
    policies.check_in_use(board)
    board.archived_at = timezone.now()
    board.save()
    for user in (someone(Role.ADMINISTRATOR), someone(Role.VIEWER, board)):
        assert board in policies.visible_products(user)
        assert board in policies.products_with(user, Role.VIEWER)
        mine = policies.products_with(user, Role.VIEWER).filter(policies.IN_USE)
        assert board not in mine
    assert board not in policies.visible_products(someone(Role.ENGINEER, other))
    with pytest.raises(WrongState, match="PCB-1 is archived"):
        policies.check_in_use(board)


@pytest.mark.parametrize("needed", list(Role))
def test_products_with_a_role_are_those_where_one_has_it(needed: Role, board: Product):
    other = Product.objects.create(code="PCB-3", name="Third")
    people = [someone(role, product) for role in Role for product in (board, None)]
    people += [someone(), User.objects.create_user("root", is_superuser=True)]
    for user in people:
        for active in (True, False):
            user.is_active = active
            user.save()
            found = set(policies.products_with(user, needed))
            assert found == {p for p in (board, other) if policies.can(user, needed, p)}, user
