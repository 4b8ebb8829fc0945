from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('inspection', '0022_report_mail_taken'),
    ]

    operations = [
        migrations.AddField(
            model_name='delivery',
            name='replayed_at',
            field=models.DateTimeField(blank=True, help_text='when somebody last had it sent once more', null=True),
        ),
    ]
