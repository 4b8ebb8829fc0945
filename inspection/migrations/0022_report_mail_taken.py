from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('inspection', '0021_escapes_withdrawn'),
    ]

    operations = [
        migrations.AddField(
            model_name='report',
            name='mail_taken',
            field=models.JSONField(blank=True, default=list, help_text='for whom of `mail_to` the server took it: they are not sent it again'),
        ),
    ]
