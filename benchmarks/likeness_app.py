"""The service's own Celery application with one more route: `celery --app benchmarks.likeness_app worker`."""

from benchmarks import route

route.register()

from tasks.app import app  # noqa: E402  # the route must be there before anybody reads the routes

__all__ = ["app"]
