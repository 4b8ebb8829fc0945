"""A report of an escape can be withdrawn, and one that is sent again by its key is known."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("inspection", "0020_endpoint_sealed")]

    operations = [
        migrations.AddField(
            model_name="escape",
            name="idempotency_key",
            field=models.CharField(
                blank=True,
                default="",
                help_text="of the request that reported it, if it had one",
                max_length=255,
            ),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="escape",
            name="withdrawn_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="escape",
            name="withdrawn_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="escape",
            name="withdrawn_reason",
            field=models.CharField(blank=True, default="", max_length=300),
            preserve_default=False,
        ),
        migrations.AddConstraint(
            model_name="escape",
            constraint=models.UniqueConstraint(
                condition=models.Q(("idempotency_key", ""), _negated=True),
                fields=("reported_by", "idempotency_key"),
                name="escape_key_once",
            ),
        ),
    ]
