"""`manage.py user create|disable|enable|reset|role|list`: people, without e-mail."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from inspection.errors import UserError
from inspection.models import Product, Role, User
from inspection.services import users


class Command(BaseCommand):
    help = "Make, disable, enable and list users, set roles and reset passwords."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        for action in ("create", "disable", "enable", "reset", "role"):
            one = actions.add_parser(action)
            one.add_argument("name", help="the name to sign in with")
            if action in ("create", "role"):
                one.add_argument(
                    "--role", choices=[*Role.values, "none"], required=action == "role"
                )
                one.add_argument("--product", metavar="CODE", help="part number; without: all")
            if action == "create":
                one.add_argument("--full-name", default="")
        actions.add_parser("list")

    def handle(self, *args: Any, action: str, **options: Any) -> None:
        try:
            getattr(self, f"_{action}")(options)
        except UserError as error:
            raise CommandError(error.message) from error

    def _create(self, options: dict[str, Any]) -> None:
        role = None if options["role"] == "none" else options["role"]
        who, password = users.create_user(
            None,
            username=options["name"],
            role=role,
            product=_product(options["product"]),
            full_name=options["full_name"],
        )
        self._show(who, password)

    def _reset(self, options: dict[str, Any]) -> None:
        who = _user(options["name"])
        self._show(who, users.reset_password(None, who))

    def _show(self, who: User, password: str) -> None:
        self.stdout.write(f"User:              {who.username}")
        self.stdout.write(f"One-time password: {password}")
        self.stdout.write("It is shown only now; a new one must be chosen at the first sign-in.")

    def _disable(self, options: dict[str, Any]) -> None:
        who = users.disable_user(None, _user(options["name"]))
        self.stdout.write(f"{who.username} can no longer sign in and is signed out.")

    def _enable(self, options: dict[str, Any]) -> None:
        who = users.enable_user(None, _user(options["name"]))
        self.stdout.write(f"{who.username} can sign in again.")

    def _role(self, options: dict[str, Any]) -> None:
        who, product = _user(options["name"]), _product(options["product"])
        role = None if options["role"] == "none" else options["role"]
        users.set_role(None, who, role, product)
        where = product.code if product else "all products"
        self.stdout.write(f"{who.username}: {role or 'no role'} for {where}.")

    def _list(self, options: dict[str, Any]) -> None:
        for who in User.objects.prefetch_related("memberships__product"):
            state = "" if who.is_active else "  (disabled)"
            self.stdout.write(f"{who.username:24} {_roles(who)}{state}")


def _roles(who: User) -> str:
    roles = [
        f"{m.role} of {m.product.code if m.product else 'all products'}"
        for m in who.memberships.all()
    ]
    if who.is_superuser:
        roles.insert(0, "administrator (superuser)")
    return ", ".join(roles) or "no role"


def _user(name: str) -> User:
    found = User.objects.filter(username__iexact=name).first()
    if found is None:
        raise CommandError(f"There is no user {name}. `manage.py user list` shows all.")
    return found


def _product(code: str | None) -> Product | None:
    if not code:
        return None
    found = Product.objects.filter(code__iexact=code).first()
    if found is None:
        raise CommandError(f"There is no product with the part number {code}.")
    return found
