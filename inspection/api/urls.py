"""Addresses of the API: /api/v1/."""

from django.contrib.auth.decorators import login_required
from django.urls import URLPattern, URLResolver, include, path, re_path
from drf_spectacular.views import SpectacularJSONAPIView, SpectacularSwaggerSplitView
from rest_framework.routers import SimpleRouter

from . import inspections, products
from .problems import not_found

router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register("products", products.Products, "api-product")
router.register("inspections", inspections.Inspections, "api-inspection")

docs = login_required(SpectacularSwaggerSplitView.as_view(url_name="api-schema"))

v1: list[URLPattern | URLResolver] = [
    path("docs/", docs, name="api-docs"),
    path("openapi.json", SpectacularJSONAPIView.as_view(), name="api-schema"),
    path("", include(router.urls)),
]
urlpatterns = [path("api/v1/", include(v1)), re_path(r"^api/", not_found)]
