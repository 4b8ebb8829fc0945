from django.urls import include, path

urlpatterns = [
    path("", include("inspection.web.urls")),
    path("accounts/", include("inspection.web.account_urls")),
    path("", include("inspection.api.urls")),
]

handler500 = "inspection.web.ops.server_error"
