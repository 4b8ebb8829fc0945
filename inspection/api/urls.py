"""Addresses of the API: /api/v1/."""

from django.contrib.auth.decorators import login_required
from django.urls import URLPattern, URLResolver, include, path, re_path
from drf_spectacular.views import SpectacularJSONAPIView, SpectacularSwaggerSplitView
from rest_framework.routers import SimpleRouter
from rest_framework.viewsets import GenericViewSet

from . import (
    agreement,
    batches,
    datasets,
    drift,
    endpoints,
    figures,
    images,
    inspections,
    inspections_csv,
    intakes,
    jobs,
    me,
    models,
    notifications,
    plant,
    products,
    report_schedules,
    reports,
    retraining,
    reviews,
    submissions,
    users,
    viewpoints,
)
from . import runs as runs_of
from . import uploads as uploads_of
from .problems import not_found
from .waiting import waits

# What has a list of its own, by the name in its address.
LISTS: dict[str, tuple[type[GenericViewSet], str]] = {  # type: ignore[type-arg]
    "products": (products.Products, "api-product"),
    "viewpoints": (viewpoints.Viewpoints, "api-viewpoint"),
    "stations": (plant.Stations, "api-station"),
    "datasets": (datasets.Datasets, "api-dataset"),
    "images": (images.Images, "api-image"),
    "runs": (runs_of.Runs, "api-run"),
    "retraining_plans": (retraining.RetrainingPlans, "api-retraining-plan"),
    "models": (models.Models, "api-model"),
    "gates": (models.Gates, "api-gate"),
    "batches": (batches.Batches, "api-batch"),
    "inspections": (inspections.Inspections, "api-inspection"),
    "reviews": (reviews.Reviews, "api-review"),
    "reason_codes": (reviews.ReasonCodes, "api-reason-code"),
    "escapes": (reviews.Escapes, "api-escape"),
    "reports": (reports.Reports, "api-report"),
    "report_schedules": (report_schedules.ReportSchedules, "api-report-schedule"),
    "intakes": (intakes.Intakes, "api-intake"),
    "drift_alerts": (plant.DriftAlerts, "api-drift-alert"),
    "endpoints": (endpoints.Endpoints, "api-endpoint"),
    "audit": (plant.Audit, "api-audit"),
    "users": (users.Users, "api-user"),
    "memberships": (users.Memberships, "api-membership"),
    "notifications": (notifications.Notifications, "api-notification"),
}
router = SimpleRouter(trailing_slash=False, use_regex_path=False)
for name, (viewset, basename) in LISTS.items():
    router.register(name, viewset, basename)

points = models.OperatingPoints
POINTS = "models/<uuid:version>/operating_points"
mails = reports.ReportMails.as_view({"get": "retrieve", "post": "create"})
CHANGES = "viewpoints/<uuid:viewpoint>/changes"
changes = retraining.Changes
UPLOAD_JOB = "jobs/uploads/<uuid:pk>"
upload_job = jobs.UploadJobs
docs = login_required(SpectacularSwaggerSplitView.as_view(url_name="api-schema"))

inspect = waits(submissions.Submissions.as_view({"get": "list", "post": "create"}))

v1: list[URLPattern | URLResolver] = [
    path("", me.Index.as_view(), name="api-index"),
    path("me", me.Me.as_view(), name="api-me"),
    path("kpis", figures.Kpis.as_view(), name="api-kpis"),
    path("kpis/trend", figures.Trend.as_view(), name="api-kpi-trend"),
    path("kpis/reasons", figures.Reasons.as_view(), name="api-kpi-reasons"),
    path("kpis/places", figures.Places.as_view(), name="api-kpi-places"),
    path("kpis/drift", drift.Drift.as_view(), name="api-kpi-drift"),
    path("agreement", agreement.Agreement.as_view(), name="api-agreement"),
    path("docs/", docs, name="api-docs"),
    path("openapi.json", SpectacularJSONAPIView.as_view(), name="api-schema"),
    path(POINTS, points.as_view({"get": "list", "post": "create"}), name="api-points"),
    path(f"{POINTS}/what_if", points.as_view({"get": "what_if"}), name="api-what-if"),
    path(CHANGES, changes.as_view({"get": "retrieve"}), name="api-changes"),
    path(f"{CHANGES}/added", changes.as_view({"get": "added"}), name="api-added"),
    path(f"{CHANGES}/left_out", changes.as_view({"get": "left_out"}), name="api-left-out"),
    path(f"{CHANGES}/gone", changes.as_view({"get": "gone"}), name="api-gone"),
    path("jobs", jobs.Jobs.as_view(), name="api-jobs"),
    path(
        f"{UPLOAD_JOB}/cancel",
        upload_job.as_view({"post": "cancel"}),
        name="api-job-upload-cancel",
    ),
    path(
        f"{UPLOAD_JOB}/resume",
        upload_job.as_view({"post": "resume"}),
        name="api-job-upload-resume",
    ),
    path("uploads", uploads_of.Uploads.as_view(), name="api-uploads"),
    path("uploads/<uuid:key>", uploads_of.OneUpload.as_view(), name="api-upload"),
    path("reports/<uuid:pk>/mail", mails, name="api-report-mail"),
    path("inspections", inspect, name="api-inspection-list"),  # before the router's: it waits
    path("inspections.csv", inspections_csv.InspectionsCsv.as_view(), name="api-inspections-csv"),
    path("", include(router.urls)),
]
urlpatterns = [path("api/v1/", include(v1)), re_path(r"^api/", not_found)]
