from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import geodetect
from geodetect.assessment.evaluate.plots import (
    check_plots,
    draw_f1,
    draw_precision_recall,
    draw_reliability,
    save_plot,
)
from geodetect.assessment.evaluate.reliability import reliability
from geodetect.assessment.evaluate.result import Evaluation
from geodetect.errors import OutputError
from geodetect.settings import EvaluateSettings
from tests.helpers.layers import square_layer
from tests.helpers.program import modules_after


def evaluate_grid(*, is_scored: bool = True, classes: tuple[str, ...] = ("pool",)) -> Evaluation:
    """Four in five of 50 objects are found, the sure detections mostly right."""
    rng = np.random.default_rng(0)
    corners = np.stack(np.divmod(np.arange(100), 10), axis=1) * 30.0
    names = np.array(classes)[np.arange(100) % len(classes)]
    chosen = np.r_[np.arange(40), np.arange(50, 70)]
    scores = np.r_[rng.uniform(0.3, 1, 40), rng.uniform(0, 0.6, 20)]
    columns = {"score": scores} if is_scored else {}
    predictions = square_layer(*corners[chosen], **columns, **{"class": names[chosen]})
    truth = square_layer(*corners[:50], **{"class": names[:50]})
    return geodetect.evaluate(predictions, truth, EvaluateSettings(resamples=0, conf=0.4))


def test_each_class_and_all_together_get_two_plots(tmp_path: Path) -> None:
    written = evaluate_grid(classes=("pool", "Wasser/Tank")).write_plots(tmp_path / "plots")
    expected = {f"{kind}-{name}.png" for kind in ("precision-recall", "f1")
                for name in ("pool", "wasser_tank", "all")}  # fmt: skip
    assert {path.name for path in written} == expected
    assert {path.name for path in (tmp_path / "plots").iterdir()} == expected
    for path in written:
        with Image.open(path) as image:
            assert image.size == (900, 750)
            assert len(image.convert("RGB").getcolors(900 * 750)) > 50


def test_classes_that_are_alike_in_file_names_get_files_of_their_own(tmp_path: Path) -> None:
    written = evaluate_grid(classes=("a/b", "a b")).write_plots(tmp_path)
    assert len(written) == len(set(written)) == 6


def test_without_scores_there_is_a_point_and_no_curve(tmp_path: Path) -> None:
    written = evaluate_grid(is_scored=False).write_plots(tmp_path)
    assert [path.name for path in written] == ["precision-recall-pool.png"]


def axes() -> object:
    from matplotlib.figure import Figure

    return Figure().add_subplot()


def test_the_curves_are_those_of_the_figures() -> None:
    result = evaluate_grid().metrics.classes[0]
    plot = axes()
    draw_precision_recall(result, "AP", plot)
    by_label = {line.get_label(): line for line in plot.get_lines()}
    curve = by_label[f"AP {result.ap:.3f}"]
    np.testing.assert_array_equal(curve.get_xdata(), result.curve.recall)
    np.testing.assert_array_equal(curve.get_ydata(), result.curve.precision)
    at = next(line for name, line in by_label.items() if name.startswith("Score ≥ 0.4:"))
    assert (at.get_xdata(), at.get_ydata()) == (
        result.at_threshold.recall,
        result.at_threshold.precision,
    )
    plot = axes()
    draw_f1(result, plot)
    f1 = next(line for line in plot.get_lines() if line.get_label() == "F1")
    assert f1.get_ydata().max() == pytest.approx(result.best_f1.f1)
    assert f1.get_xdata()[np.argmax(f1.get_ydata())] == result.best_f1.score_threshold


def test_a_reliability_diagram_shows_filled_bins_and_their_counts() -> None:
    from matplotlib.figure import Figure

    scores = np.repeat([0.25, 0.85], [40, 10])
    correct = np.r_[np.arange(40) < 10, np.arange(10) < 8]
    axes = Figure().add_subplot()
    curves = {"before": reliability(scores / 2, correct), "after": reliability(scores, correct)}
    draw_reliability(curves, "Reliability", axes)
    lines = {line.get_label(): line for line in axes.get_lines()}
    after = lines["after: error 0.010"].get_xydata()
    assert after.ravel() == pytest.approx([0.25, 0.25, 0.85, 0.8])
    assert lines["before: error 0.175"].get_xdata() == pytest.approx([0.125, 0.425])
    assert [text.get_text() for text in axes.texts] == ["40", "10"]
    low, high = next(
        line.get_ydata()
        for line in axes.get_lines()
        if np.allclose(line.get_xdata(), [0.85, 0.85]) and len(line.get_xdata()) == 2
    )
    assert (low, high) == pytest.approx((0.490, 0.943), abs=1e-3)  # Wilson, 8 of 10


def test_the_size_of_a_plot_can_be_chosen(tmp_path: Path) -> None:
    path = tmp_path / "plot.png"
    save_plot(lambda axes: None, path, overwrite=False, inches=(2, 1), dpi=100)
    with Image.open(path) as image:
        assert image.size == (200, 100)


def test_layers_without_anything_are_drawn_too(tmp_path: Path) -> None:
    nothing = square_layer(score=[])
    some = square_layer((0, 0), score=[0.5])
    for number, (predictions, truth_path) in enumerate(
        [(nothing, some), (some, nothing), (nothing, nothing)]
    ):
        result = geodetect.evaluate(predictions, truth_path)
        assert len(result.write_plots(tmp_path / str(number))) == 2


def test_plots_are_replaced_only_on_request(tmp_path: Path) -> None:
    result = evaluate_grid()
    result.write_plots(tmp_path)
    with pytest.raises(OutputError, match=r"already exists.*`overwrite`"):
        result.write_plots(tmp_path)
    assert len(result.write_plots(tmp_path, overwrite=True)) == 2


def test_a_folder_that_cannot_be_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match=r"is not a folder.*`plots`"):
        check_plots(tmp_path / "file", overwrite=True)
    with pytest.raises(OutputError, match="does not exist"):
        check_plots(tmp_path / "no" / "plots", overwrite=True)


def test_matplotlib_is_loaded_only_to_draw(tmp_path: Path) -> None:
    loaded = modules_after(
        "import geodetect.assessment.evaluate.evaluation, geodetect.assessment.evaluate.plots"
    )
    assert not loaded & {"matplotlib", "torch", "scipy", "rich", "typer"}
    draw = "p.save_plot(print, p.Path('x.png'), overwrite=True)"
    code = f"import geodetect.assessment.evaluate.plots as p; {draw}"
    assert "matplotlib.pyplot" not in modules_after(
        f"import os; os.chdir({str(tmp_path)!r})\n{code}"
    )
