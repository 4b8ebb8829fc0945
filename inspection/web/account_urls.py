"""Signing in, signing out and the own password. Nothing else of allauth has a page here."""

from allauth.account import views
from django.contrib.auth.decorators import login_not_required
from django.urls import path

from .views import station

urlpatterns = [
    path("login/", login_not_required(views.login), name="account_login"),
    path("logout/", views.logout, name="account_logout"),
    path("password/change/", views.password_change, name="account_change_password"),
    path("pin/", station.pin, name="account_pin"),
    path("inactive/", login_not_required(views.account_inactive), name="account_inactive"),
    path("signup/", login_not_required(views.signup), name="account_signup"),
]
