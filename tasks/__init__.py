"""The hands: Celery tasks that claim, attempt and record."""
