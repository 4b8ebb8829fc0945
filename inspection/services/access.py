"""The first line of every service: may this user do this? None is the system itself."""

from inspection import policies
from inspection.models import Product, Role, User


def require(user: User | None, role: Role, product: Product | None) -> None:
    """Raise NotAllowed unless `user` is the system or has at least `role` for `product`."""
    if user is not None:
        policies.check(user, role, product)
