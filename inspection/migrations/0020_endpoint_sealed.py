"""What endpoints sign and sign in with is sealed; until now it lay open in the database."""

from django.db import migrations, models

from inspection.sealed import seal, unseal


def close(apps, schema_editor):
    for endpoint in apps.get_model("inspection", "Endpoint").objects.exclude(secrets=[]):
        endpoint.sealed = seal(endpoint.secrets)
        endpoint.save(update_fields=["sealed"])


def open_again(apps, schema_editor):
    for endpoint in apps.get_model("inspection", "Endpoint").objects.exclude(sealed=""):
        endpoint.secrets = unseal(endpoint.sealed)
        endpoint.save(update_fields=["secrets"])


class Migration(migrations.Migration):
    dependencies = [("inspection", "0019_report_schedule_since")]

    operations = [
        migrations.AddField(
            model_name="endpoint",
            name="sealed",
            field=models.TextField(
                blank=True,
                default="",
                editable=False,
                help_text="`secrets`, as only this house can read them (inspection/sealed.py)",
            ),
        ),
        migrations.RunPython(close, open_again),
        migrations.RemoveField(model_name="endpoint", name="secrets"),
    ]
