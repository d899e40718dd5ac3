"""Write the JSON Schema of ``--json`` from the classes in ``geodetect_cli/json_output``.

python docs/json_schema.py
"""

from __future__ import annotations

from pathlib import Path

from geodetect_cli.json_output.envelope import SCHEMA_VERSION
from geodetect_cli.json_output.schema import schema_text

FILE = Path(__file__).parent / f"schema/geodetect-{SCHEMA_VERSION}.json"

if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(schema_text(), encoding="utf-8")
