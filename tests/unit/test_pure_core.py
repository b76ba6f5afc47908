"""What runs, and in which order, is decided by code that needs nothing but Python."""

import ast
import sys
from pathlib import Path

PIPELINE = Path(__file__).parents[2] / "pipeline"


def test_the_pipeline_imports_itself_and_the_standard_library_alone() -> None:
    imported = set()
    for file in PIPELINE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module.partition(".")[0])
    assert imported - sys.stdlib_module_names == {"pipeline"}
