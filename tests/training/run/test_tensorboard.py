"""The metrics of a training for TensorBoard."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from geodetect.errors import MissingDependencyError
from geodetect.progress import no_progress
from geodetect.training.run.folder import TENSORBOARD, RunFolder
from geodetect.training.run.tensorboard import TensorBoardLog
from geodetect.training.train import train
from tests.helpers.training_loops import ScriptedValidator, new_loop

pytestmark = pytest.mark.usefixtures("no_stored_networks")

Curves = dict[str, dict[int, float]]


def curves(folder: Path) -> Curves:
    """Return what TensorBoard shows: the value at each step, by name."""
    shown = EventAccumulator(str(folder)).Reload()
    return {
        name: {event.step: event.value for event in shown.Scalars(name)}
        for name in shown.Tags()["scalars"]
    }


def expected(folder: Path) -> Curves:
    """The same from the metrics."""
    values: Curves = {}
    for row in RunFolder(folder).metrics.rows():
        for name, value in row.items():
            if name != "step" and not math.isnan(value):
                values.setdefault(name, {})[int(row["step"])] = pytest.approx(value, rel=1e-4)
    return values


def test_the_curves_are_those_of_the_metrics(tmp_path: Path) -> None:
    loop = new_loop(tmp_path / "run", ScriptedValidator(0.25, 0.5), steps=4, val_every=2)
    loop.tensorboard = TensorBoardLog(tmp_path / "run")
    loop.run(no_progress)
    values = curves(tmp_path / "run")
    assert values == expected(tmp_path / "run")
    assert values["val_ap50"] == {2: 0.25, 4: 0.5}
    assert sorted(values["loss"]) == [1, 2, 3, 4]
    loop.tensorboard.close()


def test_a_resumed_training_replaces_the_figures_of_later_steps(tmp_path: Path) -> None:
    before = TensorBoardLog(tmp_path)
    for step, loss in ((1, 0.5), (2, 0.25), (3, 9.0)):
        before.append({"step": step, "loss": loss, "val_ap50": math.nan})
    after = TensorBoardLog(tmp_path, step=2)
    after.append({"step": 3, "loss": 0.125})
    assert curves(tmp_path) == {"loss": {1: 0.5, 2: 0.25, 3: 0.125}}
    before.close()
    after.close()


def test_a_new_training_removes_the_files_of_another(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    with folder.create() as path:
        RunFolder(path).metrics.create()
    TensorBoardLog(folder.path).close()
    assert len(list(folder.path.glob(TENSORBOARD))) == 1
    with folder.create() as path:
        RunFolder(path).metrics.create()
    assert [file.name for file in folder.path.iterdir()] == ["metrics.csv"]


def test_without_tensorboard_one_line_says_how_to_install_it_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'geodetect\[tensorboard\]'"):
        train(["no.tif"], ["no.geojson"], tmp_path / "m.safetensors", tensorboard=True)
    assert list(tmp_path.iterdir()) == []
