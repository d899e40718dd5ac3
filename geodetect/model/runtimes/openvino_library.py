"""The library OpenVINO: import without telemetry, its core, and networks as bytes."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from geodetect.errors import MissingDependencyError, OutputError
from geodetect.hardware.memory import is_out_of_memory
from geodetect.hardware.signal_stack import same_signal_stack
from geodetect.model.runtimes.cache import Entry

if TYPE_CHECKING:
    import openvino

DEVICE = "CPU"
TELEMETRY = "openvino_telemetry"
NUMBERED = re.compile(r"[A-Za-z]+_\d+")  # name of a node that has none of its own


def serialize(network: openvino.Model) -> Entry:
    """Return a network as OpenVINO's intermediate representation: ``model`` and ``weights``.

    Raises:
        OutputError: The folder for temporary files is full.
    """
    with TemporaryDirectory() as folder:
        file = Path(folder) / "model.xml"
        try:
            import_openvino().serialize(network, file)
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            raise OutputError(
                f"{folder}: the converted network cannot be written there ({error}); free some "
                f"space, or name another folder for temporary files with the variable TMPDIR"
            ) from error
        return {"model": file.read_bytes(), "weights": file.with_suffix(".bin").read_bytes()}


def number_nodes(network: openvino.Model, name: str) -> None:
    """Number the nodes without a name of their own within the network, and name the network.

    OpenVINO numbers them within the process, but the same network must give the same bytes.
    """
    network.set_friendly_name(name)
    for number, node in enumerate(network.get_ordered_ops()):
        if NUMBERED.fullmatch(node.get_friendly_name()):
            node.set_friendly_name(f"{node.get_type_name()}_{number}")


def import_openvino() -> Any:
    """Import OpenVINO without its telemetry.

    Raises:
        MissingDependencyError: It is not installed.
    """
    try:
        with no_telemetry():
            import openvino
    except ImportError as error:
        raise MissingDependencyError(
            f"`runtime` openvino needs OpenVINO ({error}); install it with: pip install openvino, "
            f"or choose `runtime` torch"
        ) from error
    return openvino


def open_core() -> Any:
    """Return a new ``openvino.Core`` with its plugin for processors.

    The plugin gives this thread another stack for signals. When it goes, it puts the stack of
    before back, which may be that of another plugin that has gone: the next Ctrl-C would be a
    segmentation fault. So the stack is put back at once.

    Raises:
        MissingDependencyError: OpenVINO is not installed.
    """
    core = import_openvino().Core()
    with same_signal_stack():
        core.get_property(DEVICE, "FULL_DEVICE_NAME")  # loads the plugin
    return core


@contextmanager
def no_telemetry() -> Iterator[None]:
    """Keep OpenVINO from sending usage data over the network.

    It does so on import and conversion unless its telemetry library is missing, so imports of that
    fail meanwhile. A program that has imported the library itself is left to decide.
    """
    if TELEMETRY in sys.modules:
        yield
        return
    sys.modules[TELEMETRY] = None  # type: ignore[assignment]  # makes imports of it fail
    try:
        yield
    finally:
        sys.modules.pop(TELEMETRY, None)
