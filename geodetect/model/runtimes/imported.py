"""Networks of other programs, run by OpenVINO."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from geodetect.errors import InputError, ModelFileError, translate_errors
from geodetect.model.card import ModelCard
from geodetect.model.file import Weights
from geodetect.model.runtimes.base import network_bytes_per_px
from geodetect.model.runtimes.cache import Entry
from geodetect.model.runtimes.compiled_network import CompiledNetwork, Streams
from geodetect.model.runtimes.openvino import (
    is_int8_best,
    pick_precisions,
    stored_int8_network,
)
from geodetect.model.runtimes.openvino_library import import_openvino, open_core
from geodetect.model.runtimes.stored_networks import (
    INT8,
    NETWORK,
    network_title,
    remake_command,
    stored_network,
)
from geodetect.types import AnyArray, BoolArray, UInt8Array

if TYPE_CHECKING:
    import openvino

RUNTIMES, DEVICES = ("auto", "openvino"), ("auto", "cpu")
PRECISIONS = ("auto", "fp32", "bf16", "fp16", "int8")


class ImportedRuntime:
    """Network that a model file holds in OpenVINO's form, run image by image.

    Args:
        card: The model's card.
        weights: All arrays of the model file, by name.
        runtime: ``auto`` or ``openvino``.
        precision: ``fp32``, ``bf16``, ``fp16``, or ``int8`` if the file holds an int8-quantized
            network, whose other layers run in fp32. ``auto``: int8 as for other models, else fp32,
            as what bf16 costs is not known of these networks: of YOLOX and NanoDet it moves boxes
            by half a pixel.
        device: ``auto`` or ``cpu``.

    Attributes:
        title: Library, precision and device for display.
        identity: Text that differs between runtimes that may give different results.
        streams: Images to run concurrently.
        bytes_per_px: Main memory in use while an image is run, in bytes per pixel.

    Raises:
        InputError: The runtime, precision or device is not available, or the file holds no
            int8-quantized network.
        MissingDependencyError: OpenVINO is not installed.
        ModelFileError: OpenVINO cannot read the network.
    """

    def __init__(
        self,
        card: ModelCard,
        weights: Weights,
        *,
        runtime: str = "auto",
        precision: str = "auto",
        device: str = "auto",
    ) -> None:
        choices = {
            "runtime": (runtime, RUNTIMES),
            "device": (device, DEVICES),
            "precision": (precision, PRECISIONS),
        }
        for name, (value, available) in choices.items():
            if value not in available:
                raise InputError(
                    f"`{name}` {value}: not available for model {card.name}, which was imported; "
                    f"expected {' or '.join(available)}"
                )
        core = open_core()
        if precision == "auto":
            precision = "int8" if is_int8_best(card, weights) else "fp32"
        picked, _ = pick_precisions(core, precision)
        name = INT8 if picked == "int8" else NETWORK
        network = read_imported_network(core, card, weights, name)
        float_precision = "fp32" if picked == "int8" else picked
        with translate_errors(
            f"model {card.name}: its {network_title(name)} cannot be run; make it again with "
            f"{remake_command(name)}",
            ModelFileError,
        ):
            streams = Streams.set_up(core)
            compiled = CompiledNetwork(core, network, float_precision, streams)
            compiled.compile_for(None)
        self.title = f"OpenVINO {picked} on cpu"
        self.identity = f"{self.title}, {compiled.identity}"
        self.streams = streams.count
        self.bytes_per_px = network_bytes_per_px(None, float_precision)
        self._compiled = compiled

    def run(self, pixels: UInt8Array) -> list[AnyArray]:
        """Return the outputs for an image ``uint8[C, H, W]`` of the size of the input."""
        return self._compiled.run(np.ascontiguousarray(pixels)[None])


def pad_to_input(card: ModelCard, pixels: UInt8Array, valid: BoolArray) -> UInt8Array:
    """Return a tile, padded to the input of an imported network: ``uint8[C, H, W]``.

    Args:
        card: The model's card.
        pixels: ``uint8[C, h, w]``.
        valid: ``bool[h, w]`` False where there is no imagery, which is filled as the padding is.

    Raises:
        InputError: The tile is larger than the input.
    """
    imported = card.imported
    assert imported is not None
    height, width = valid.shape
    rows, columns = imported.input_px
    if height > rows or width > columns:
        raise InputError(
            f"model {card.name}: a tile of {width} x {height} px, its input is fixed to "
            f"{columns} x {rows} px; set `tile_size` to {min(rows, columns)} or less"
        )
    if (height, width) == (rows, columns) and valid.all():
        return pixels
    padded = np.full((len(pixels), rows, columns), imported.fill, np.uint8)
    padded[:, :height, :width] = np.where(valid, pixels, imported.fill)
    return padded


def read_imported_network(
    core: openvino.Core, card: ModelCard, weights: Weights, name: str = NETWORK
) -> openvino.Model:
    """Return a network of an imported model.

    Args:
        core: OpenVINO.
        card: The model's card.
        weights: All arrays of the model file, by name.
        name: ``NETWORK`` or ``INT8``.

    Raises:
        InputError: There is no int8-quantized one.
        ModelFileError: There is none, or OpenVINO cannot read it.
    """
    entry: Entry | None
    if name == INT8:
        entry = stored_int8_network(card, weights)
    else:
        entry = stored_network(card, weights, name)
    if entry is None:
        raise ModelFileError(f"model {card.name}: its file holds no network; convert it again")
    with translate_errors(
        f"model {card.name}: its {network_title(name)} cannot be read by OpenVINO "
        f"{import_openvino().get_version()}; make it again with {remake_command(name)}",
        ModelFileError,
    ):
        return core.read_model(model=entry["model"], weights=entry["weights"])
