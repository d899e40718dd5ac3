"""Networks of other programs, run by OpenVINO."""

from __future__ import annotations

from typing import Any

import numpy as np

from geodetect.errors import InputError, ModelFileError, translate_errors
from geodetect.model.card import ModelCard
from geodetect.model.file import Weights
from geodetect.model.runtimes.base import network_bytes_per_px
from geodetect.model.runtimes.openvino import CompiledNetwork, pick_precisions
from geodetect.model.runtimes.openvino_library import import_openvino, open_core
from geodetect.model.runtimes.stored_networks import NETWORK, stored_network
from geodetect.types import AnyArray, UInt8Array

NO_NETWORK = "its network cannot be run; convert it again with `geodetect convert`"
RUNTIMES, DEVICES = ("auto", "openvino"), ("auto", "cpu")


class ImportedRuntime:
    """Network that a model file holds in OpenVINO's form, run image by image.

    A first image is to be run before there are threads, see ``CompiledNetwork``.

    Args:
        card: The model's card.
        weights: All arrays of the model file, by name.
        runtime: ``auto`` or ``openvino``.
        precision: ``fp32``, ``bf16`` or ``fp16``; ``auto``: fp32, as what another costs is not
            known of these networks. Of YOLOX and NanoDet bf16 moves boxes by half a pixel.
        device: ``auto`` or ``cpu``.

    Attributes:
        title: Library, precision and device for display.
        identity: Text that differs between runtimes that may give different results.
        streams: Images to run concurrently.
        bytes_per_px: Main memory in use while an image is run, in bytes per pixel.

    Raises:
        InputError: The runtime, precision or device is not available.
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
            "precision": (precision, ("auto", "fp32", "bf16", "fp16")),
        }
        for name, (value, available) in choices.items():
            if value not in available:
                raise InputError(
                    f"`{name}` {value}: not available for model {card.name}, which was imported; "
                    f"expected {' or '.join(available)}"
                )
        core = open_core()
        picked, _ = pick_precisions(core, "fp32" if precision == "auto" else precision)
        model = _read_network(core, card, weights)
        with translate_errors(f"model {card.name}: {NO_NETWORK}", ModelFileError):
            compiled = CompiledNetwork(core, model, picked)
        self.title = f"OpenVINO {picked} on cpu"
        self.identity = f"{self.title}, {compiled.identity}"
        self.streams = compiled.streams
        self.bytes_per_px = network_bytes_per_px(None, picked)
        self._compiled = compiled

    def run(self, pixels: UInt8Array) -> list[AnyArray]:
        """Return the outputs for an image ``uint8[C, H, W]`` of the size of the input."""
        return self._compiled.run(np.ascontiguousarray(pixels)[None])


def _read_network(core: Any, card: ModelCard, weights: Weights) -> Any:
    """Return the network of a model file, an ``openvino.Model``.

    Raises:
        ModelFileError: There is none, or OpenVINO cannot read it.
    """
    entry = stored_network(card, weights, NETWORK)
    if entry is None:
        raise ModelFileError(f"model {card.name}: its file holds no network; convert it again")
    with translate_errors(
        f"model {card.name}: its network cannot be read by OpenVINO "
        f"{import_openvino().get_version()}; convert it again with `geodetect convert`",
        ModelFileError,
    ):
        return core.read_model(model=entry["model"], weights=entry["weights"])
