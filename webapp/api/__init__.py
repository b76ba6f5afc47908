"""The public calls: a blueprint for each collection."""

from webapp.api import assets, avatars, events, jobs, outputs

BLUEPRINTS = (assets.blueprint, avatars.blueprint, outputs.blueprint, jobs.blueprint, events.blueprint)
