"""Model card: metadata of a model, stored in its file."""

from __future__ import annotations

import reprlib
from collections import Counter
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from geodetect.class_names import normalize_class_name
from geodetect.display import Displayed, Rows
from geodetect.errors import InputError, list_names

INPUT_BANDS = 3  # of geodetect's networks
MAX_CLASSES = 10_000
RATES = ("precision", "recall", "f1")  # ends of the names of metrics, by which counts are corrected
MAX_LEVELS, MAX_PER_LEVEL = 12, 64
MAX_SIZE_CLASSES = 100
MAX_GROUND = 1_000_000  # characters
MAX_PROBLEMS = 3  # in one message
VOTE_SHARE = 0.5  # of the score of a detection that other boxes need to vote for its place

PositiveLength = Annotated[float, Field(gt=0, le=1e6)]  # metres
ObjectSize = Annotated[float, Field(ge=0, le=1e6)]  # metres; rounded, so perhaps 0
InputPixels = Annotated[int, Field(ge=1, le=100_000)]
AnchorSize = Annotated[float, Field(gt=0, le=1e5)]  # pixels
AnchorRatio = Annotated[float, Field(ge=1e-3, le=1e3)]
BandMean = Annotated[float, Field(ge=0, le=1)]
BandDeviation = Annotated[float, Field(ge=1e-4, le=1e2)]  # less or more leaves no image
ClassName = Annotated[
    str, Field(min_length=1, max_length=1000), AfterValidator(normalize_class_name)
]
# beyond these every score of a class is 0, or 1, or the same
Slope = Annotated[float, Field(ge=1e-4, le=1e4)]
Intercept = Annotated[float, Field(ge=-1e4, le=1e4)]
UnitInterval = Annotated[float, Field(ge=0, le=1)]
PositiveArea = Annotated[float, Field(gt=0, le=1e12)]  # square metres
AreaRatio = Annotated[float, Field(ge=0, le=1e3)]


def _check_polygons(text: str) -> str:
    """Return a well-known text unchanged.

    Raises:
        ValueError: It is neither empty nor that of polygons.
    """
    if text:
        import shapely  # not for cards without it: its import takes 0.1 s

        try:
            kind = shapely.from_wkt(text).geom_type
        except shapely.errors.ShapelyError as error:
            raise ValueError("expected well-known text") from error
        if kind not in ("Polygon", "MultiPolygon"):
            raise ValueError(f"expected polygons, found a {kind}")
    return text


class CardPart(BaseModel):
    """Base of a card and its parts: frozen, without unknown fields, NaN and infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class OutlineConfig(CardPart):
    """Architecture of an outline head: a mask for each box, see ``OutlineHead``.

    Args:
        channels: Channels of its features.
        head_channels: Channels of its convolutions.
        head_convs: 3x3 convolutions on the features of a box.
        cells: Side of these features in cells; the mask has twice as many.
        margin: Fraction of its extent by which a box is widened on each side: the mask may reach
            beyond the box.
    """

    channels: int = Field(32, ge=1, le=1024)
    head_channels: int = Field(64, ge=1, le=1024)
    head_convs: int = Field(3, ge=0, le=16)
    cells: int = Field(14, ge=2, le=128)
    margin: float = Field(0.15, ge=0, le=1)

    @property
    def mask_cells(self) -> int:
        """Side of a mask in cells."""
        return 2 * self.cells


class NetworkConfig(CardPart):
    """Architecture of a RetinaNet.

    Args:
        backbone: Backbone network: a ResNet of torchvision, or ``timm:`` and the name of a network
            of timm.
        trunk_stages: Number of its stages in use, 2..4; the last one has stride 8, 16 or 32.
        fpn_channels: Channels of the feature pyramid and the heads.
        strides: Strides of the pyramid levels, in pixels, each twice the previous one.
        head_convs: 3x3 convolutions in each of the two heads before the output.
        head_norm_groups: Groups of the group norm after each of them; 0: no norm.
        coarser_from: Input of the first level beyond the backbone's (P6): ``pyramid_relu``, the
            pyramid's coarsest level after a ReLU; ``pyramid``, that level itself; ``trunk``, the
            backbone's last stage.
        norm_eps: Added to the variances of the frozen batch norms of a ResNet.
        anchor_sizes_px: Square roots of the anchors' areas of each level, in pixels.
        anchor_ratios: Height over width of the anchors.
        anchor_grid: Position of the anchors: ``centred`` on the cells; or ``torchvision``, in
            whole pixels around the upper left corners of cells, image size // cells pixels apart.
        multiple_px: Images are padded to multiples of these pixels; None: of the coarsest stride.
        outline: Its outline head; None: it has none.
    """

    backbone: str = Field("resnet18", max_length=200)
    trunk_stages: int = Field(3, ge=2, le=4)
    fpn_channels: int = Field(128, ge=8, le=4096)
    strides: tuple[int, ...] = Field((8, 16, 32, 64), min_length=1, max_length=MAX_LEVELS)
    head_convs: int = Field(1, ge=1, le=64)
    head_norm_groups: int = Field(16, ge=0, le=4096)
    coarser_from: Literal["pyramid_relu", "pyramid", "trunk"] = "pyramid_relu"
    norm_eps: float = Field(1e-5, ge=0, le=1)
    anchor_sizes_px: tuple[
        Annotated[tuple[AnchorSize, ...], Field(min_length=1, max_length=MAX_PER_LEVEL)], ...
    ] = Field(max_length=MAX_LEVELS)
    anchor_ratios: tuple[AnchorRatio, ...] = Field(
        (0.5, 1.0, 2.0), min_length=1, max_length=MAX_PER_LEVEL
    )
    anchor_grid: Literal["centred", "torchvision"] = "centred"
    multiple_px: int | None = Field(None, ge=1, le=512)
    outline: OutlineConfig | None = None

    @model_validator(mode="after")
    def _levels_agree(self) -> NetworkConfig:
        if len(self.anchor_sizes_px) != len(self.strides):
            raise ValueError("anchor_sizes_px needs one entry for each of strides")
        if len({len(sizes) for sizes in self.anchor_sizes_px}) > 1:
            raise ValueError("anchor_sizes_px needs as many sizes at each of strides")
        if any(
            stride < 1 or stride != self.strides[0] * 2**i for i, stride in enumerate(self.strides)
        ):
            raise ValueError(
                f"strides must be positive, each twice the previous one, found {self.strides}"
            )
        return self


class ImportedNetwork(CardPart):
    """Network of another program, as its model file holds it.

    Its input is one image of a fixed size; mean, standard deviation and order of the channels are
    part of its graph.

    Args:
        layout: Name of the layout of its outputs, see ``geodetect.model.layouts``.
        input_px: Height and width of its input, in pixels.
        fill: Value in 0..255 of pixels without imagery.
        class_numbers: Number of each class in its outputs; None: those of the classes.
        output_classes: Number of classes in its outputs, those without a name included; None: not
            fixed.
        has_fractions: Its boxes are fractions of the image; else pixels, where the layout leaves
            that open.
    """

    layout: str = Field(max_length=100)
    input_px: tuple[InputPixels, InputPixels]
    fill: int = Field(0, ge=0, le=255)
    class_numbers: tuple[Annotated[int, Field(ge=0, le=MAX_CLASSES)], ...] | None = Field(
        None, max_length=MAX_CLASSES
    )
    output_classes: int | None = Field(None, ge=1, le=MAX_CLASSES + 1)
    has_fractions: bool = False


class Calibration(CardPart):
    """Platt scaling of scores to fractions of true positives: sigmoid(slope * logit + intercept).

    Platt (1999), "Probabilistic outputs for support vector machines". The order of the scores of a
    class is preserved.

    Args:
        slope: Slope of each class, positive.
        intercept: Intercept of each class.
        score_range: Range of the calibrated scores on the holdout that it was fitted on, but for
            the few highest; beyond it nothing is known of the fraction of true positives. None: not
            recorded.
    """

    slope: tuple[Slope, ...] = Field(max_length=MAX_CLASSES)
    intercept: tuple[Intercept, ...] = Field(max_length=MAX_CLASSES)
    score_range: tuple[UnitInterval, UnitInterval] | None = None

    @model_validator(mode="after")
    def _fields_agree(self) -> Calibration:
        if len(self.slope) != len(self.intercept):
            raise ValueError("slope and intercept need one entry for each class")
        if self.score_range is not None and self.score_range[0] > self.score_range[1]:
            raise ValueError(f"score_range must be ascending, found {self.score_range}")
        return self


class TrainingRecord(CardPart):
    """Provenance of a model.

    Args:
        data: Imagery and labels it was trained on, with their source.
        licence: Licence of the weights.
        initial_weights: Weights that the training started from.
        objects: Number of labelled objects trained on.
        steps: Optimiser steps.
        settings: Settings of the training.
        ground: Ground that it has learnt from, its start included: well-known text of polygons on
            WGS 84, longitude first; empty: not known.
    """

    data: tuple[str, ...] = ()
    licence: str = ""
    initial_weights: str = ""
    objects: int = 0
    steps: int = 0
    settings: dict[str, str | int | float | bool | None] = {}
    ground: Annotated[str, Field(max_length=MAX_GROUND), AfterValidator(_check_polygons)] = ""


class Int8Record(CardPart):
    """The int8-quantized network of a model file, compared with the full-precision one.

    Args:
        calibration_tiles: Tiles that the ranges of its activations were measured on.
        checked_tiles: Other tiles, on which both networks were compared.
        objects: Detections of the full-precision network on these at the model's score threshold:
            the ground truth of the average precisions.
        ap50: Average precision of the int8-quantized network at an IoU of 0.5.
        ap75: The same at an IoU of 0.75.
        made_with: Libraries that made it, with their versions.
    """

    calibration_tiles: int = Field(ge=1)
    checked_tiles: int = Field(ge=1)
    objects: int = Field(ge=1)
    ap50: float = Field(ge=0, le=1)
    ap75: float = Field(ge=0, le=1)
    made_with: str

    @property
    def loss(self) -> float:
        """Average precision that the int8-quantized network costs, at the worse of the IoUs."""
        return 1 - min(self.ap50, self.ap75)


class AreaError(CardPart):
    """Error of the areas of outlines, as ratios of true to detected area, by size class.

    Args:
        up_to_m2: Upper limits of the size classes by detected area, in square metres, ascending;
            the last class has none.
        low: 2.5 % quantile of the ratio in each class.
        high: 97.5 % quantile of the ratio in each class.
        bias: Median of the ratio of all objects.
    """

    up_to_m2: tuple[PositiveArea, ...] = Field((), max_length=MAX_SIZE_CLASSES)
    low: tuple[AreaRatio, ...] = Field(min_length=1, max_length=MAX_SIZE_CLASSES + 1)
    high: tuple[AreaRatio, ...] = Field(min_length=1, max_length=MAX_SIZE_CLASSES + 1)
    bias: AreaRatio

    @model_validator(mode="after")
    def _fields_agree(self) -> AreaError:
        if list(self.up_to_m2) != sorted(set(self.up_to_m2)):
            raise ValueError(f"up_to_m2 must be ascending, found {self.up_to_m2}")
        if not len(self.low) == len(self.high) == len(self.up_to_m2) + 1:
            raise ValueError("low and high need one entry more than up_to_m2")
        if any(low > high for low, high in zip(self.low, self.high, strict=True)):
            raise ValueError("low must not exceed high")
        return self


class ModelCard(Displayed, CardPart):
    """Metadata of a model: input, classes, thresholds, architecture and provenance.

    Args:
        name: Name of the model.
        description: Description in one sentence.
        classes: Class names, all different; a label is an index into them.
        gsd_m: Ground resolution the model was trained at, in metres per pixel; None: rasters are
            not resampled.
        gsd_range_m: Finest and coarsest ground resolution at which it was validated, in metres
            per pixel: at the coarsest, F1 is still 95 % of F1 on the holdout at ``gsd_m``.
        bands: Names of the input bands; None: any number of bands.
        mean: Mean of each band in 0..1, subtracted first.
        std: Standard deviation of each band in 0..1, by which the difference is divided.
        object_size_m: Long sides of labelled objects in metres: 1st, 50th and 99th percentile,
            ascending.
        tile_px: Side of the tiles it was tuned for, in pixels of ``gsd_m``.
        input_scale: Factor by which a tile is enlarged before it enters the network; torchvision's
            detectors enlarge 512 px to 800 px, a factor of 1.5625.
        calibration: Calibration of the scores; None: they are used uncalibrated.
        conf: Default score threshold, after calibration.
        iou: Default IoU threshold of the non-maximum suppression.
        vote_iou: IoU from which other boxes vote for the place of a detection, see ``vote_boxes``;
            None: they do not, as in torchvision's detectors.
        network: Architecture of the network; None: a detector other than geodetect's RetinaNet.
        imported: Network of another program; None: it is geodetect's, or a function.
        training: Provenance.
        metrics: Results on the holdout, by name; rates are in 0..1.
        int8: Its int8-quantized network; None: its file holds none.
        area_error: Error of the areas of its outlines; None: not measured.
    """

    name: str = Field(max_length=1000)
    description: str = ""
    classes: tuple[ClassName, ...] = Field(min_length=1, max_length=MAX_CLASSES)
    gsd_m: PositiveLength | None = None
    gsd_range_m: tuple[PositiveLength, PositiveLength] | None = None
    bands: tuple[str, ...] | None = ("red", "green", "blue")
    mean: tuple[BandMean, ...] = (0.485, 0.456, 0.406)
    std: tuple[BandDeviation, ...] = (0.229, 0.224, 0.225)
    object_size_m: tuple[ObjectSize, ObjectSize, ObjectSize] | None = None
    tile_px: int = Field(512, ge=1, le=1_000_000)
    input_scale: float = Field(1.0, ge=1e-4, le=1e4)
    calibration: Calibration | None = None
    conf: float = Field(0.5, ge=0, le=1)
    iou: float = Field(0.5, gt=0, le=1)
    vote_iou: float | None = Field(None, gt=0, le=1)
    network: NetworkConfig | None = None
    imported: ImportedNetwork | None = None
    training: TrainingRecord = TrainingRecord()
    metrics: dict[str, Annotated[float, Field(ge=0)]] = {}
    int8: Int8Record | None = None
    area_error: AreaError | None = None

    def display_rows(self) -> Rows:
        """Return classes, resolution, threshold, provenance and figures."""
        yield "Name", self.name
        if self.description:
            yield "Description", self.description
        yield "Classes", list_names(self.classes)
        if self.gsd_m is not None:
            working = ""
            if self.gsd_range_m is not None:
                working = " (works from {:g} to {:g} m)".format(*self.gsd_range_m)
            yield "Resolution", f"{self.gsd_m:g} m per pixel{working}"
        if self.network is not None and self.network.outline is not None:
            yield "Outlines", "drawn"
        yield "Score threshold", f"{self.conf:.2f}"
        training = self.training
        if training.objects:
            yield "Trained on", f"{training.objects:,} objects in {training.steps:,} steps"
        if training.licence:
            yield "Licence", training.licence
        yield from ((name, f"{value:,.4g}") for name, value in self.metrics.items())

    @model_validator(mode="after")
    def _fields_agree(self) -> ModelCard:
        names = Counter(self.classes)
        if "" in names:
            raise ValueError("classes must have names that are not blank")
        repeated = [name for name, count in names.items() if count > 1]
        if repeated:
            raise ValueError(f"classes must differ, found {list_names(repeated)} more than once")
        if self.calibration is not None and len(self.calibration.slope) != len(self.classes):
            raise ValueError("calibration needs one entry for each of classes")
        if self.gsd_range_m is not None and self.gsd_range_m[0] > self.gsd_range_m[1]:
            raise ValueError(f"gsd_range_m must be ascending, found {self.gsd_range_m}")
        if self.object_size_m is not None and list(self.object_size_m) != sorted(
            self.object_size_m
        ):
            raise ValueError(f"object_size_m must be ascending, found {self.object_size_m}")
        numbers = None if self.imported is None else self.imported.class_numbers
        if numbers is not None and len(numbers) != len(self.classes):
            raise ValueError("imported.class_numbers needs one entry for each of classes")
        if self.imported is not None and self.network is not None:
            raise ValueError("found both network and imported, expected one of them")
        too_high = [n for n, value in self.metrics.items() if n.endswith(RATES) and value > 1]
        if too_high:
            raise ValueError(f"metrics must be in 0..1: {list_names(too_high)}")
        if self.network is not None:
            for name, values in {"bands": self.bands, "mean": self.mean, "std": self.std}.items():
                if values is None or len(values) != INPUT_BANDS:
                    raise ValueError(f"{name} needs {INPUT_BANDS} entries, found {values}")
        return self


def new_card(**values: Any) -> ModelCard:
    """Return a card with these fields.

    Raises:
        InputError: A value cannot be used.
    """
    try:
        return ModelCard.model_validate(values)
    except ValidationError as error:
        raise InputError(f"the model card cannot be made: {list_problems(error)}") from error


def list_problems(error: ValidationError) -> str:
    """Return the fields of a card that cannot be used, each with its problem and value."""
    problems = []
    for problem in error.errors(include_url=False, include_context=False):
        field = ".".join(map(str, problem["loc"]))
        message = problem["msg"].removeprefix("Value error, ")
        if field and problem["type"] != "missing":
            message += f", found {reprlib.repr(problem['input'])}"
        problems.append(" ".join((f"{field}: {message}" if field else message).split()))
    return list_names(problems, limit=MAX_PROBLEMS)
