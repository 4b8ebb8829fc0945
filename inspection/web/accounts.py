"""Signing in: nobody signs up by themselves, and a one-time password must be changed."""

from allauth.account.adapter import DefaultAccountAdapter
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _

from inspection.models import User


class NoSignupAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """Accounts are made by an administrator only."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def clean_password(self, password: str, user: User | None = None) -> str:
        """The new password is another one than the one-time password."""
        if user and user.must_change_password and user.check_password(password):
            raise ValidationError(_("Choose a password of your own, not the one-time password."))
        return str(super().clean_password(password, user))

    def set_password(self, user: User, password: str) -> None:
        """Who chose a password of their own need not change it again."""
        user.must_change_password = False
        super().set_password(user, password)

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        """On to work, not back to the form."""
        return reverse("home")
