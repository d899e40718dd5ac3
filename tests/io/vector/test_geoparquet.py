from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SCRIPT = """
import os, sys
from pathlib import Path
import geopandas, shapely
from geodetect.io.vector.geoparquet import write_parquet

class Stopped:
    crs = "EPSG:2056"

    def chunks(self):
        yield geopandas.GeoDataFrame(geometry=[shapely.box(0, 0, 1, 1)], crs=self.crs)
        sys.exit(3)

for number in range(12):  # forked, since that spares the imports
    child = os.fork()
    if not child:
        write_parquet(Stopped(), Path(sys.argv[1]))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="forks, which is safe on Linux alone")
def test_a_process_that_ends_while_arrow_tidies_up_ends_as_it_was_told(tmp_path: Path):
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "a.parquet")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.split() == ["3"] * 12, run.stderr
