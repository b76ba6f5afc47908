"""The public calls: a blueprint for each collection."""

from webapp.api import assets, avatars, events, jobs, outputs, review, voices

BLUEPRINTS = (
    assets.blueprint,
    avatars.blueprint,
    voices.blueprint,
    outputs.blueprint,
    jobs.blueprint,
    review.blueprint,
    events.blueprint,
)
