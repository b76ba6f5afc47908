"""Links to assets: signed by us for what is ours, and for nothing else."""

from pipeline.settings import Settings
from schemas.links import Links

ASSET = {"id": "ast_1", "kind": "video", "media_type": "video/mp4", "bytes": 3, "sha256": "0" * 64}
LINKS = Links(Settings("postgresql://", "memory://", "var", "k" * 40, public_url="https://likeness.example"))


def test_a_result_names_its_files_with_links() -> None:
    shown = LINKS.event({"result": {"video": ASSET}, "metadata": {}})
    assert shown["result"]["video"]["url"].startswith("https://likeness.example/v1/assets/ast_1/content?")


def test_a_callers_metadata_comes_back_as_it_came_and_is_never_signed() -> None:
    assert LINKS.event({"result": None, "metadata": {"x": ASSET}})["metadata"] == {"x": ASSET}
