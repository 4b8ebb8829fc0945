"""One machine, nothing installed but Python: the processes of `manage.py demo`."""
