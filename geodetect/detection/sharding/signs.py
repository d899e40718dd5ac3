"""Signs of workers beside the records, for the status of a run: no result depends on them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from geodetect.detection.sharding.record import FAILED, RUNNING, object_name
from geodetect.errors import GeodetectError, error_text
from geodetect.io.object_store import Store

SIGN_S = 60.0  # between signs of a worker
LOST_S = 600.0  # a worker without a sign for so long is lost, or its clock is wrong


@dataclass(frozen=True)
class Sign:
    """Sign of the worker of a shard.

    Args:
        time: Seconds since 1970 on the clock of the worker.
        error: Error that has ended it; empty: none.
    """

    time: float
    error: str = ""

    @property
    def is_lost(self) -> bool:
        """The worker has given no other sign for long."""
        return abs(time.time() - self.time) > LOST_S


@contextmanager
def give_signs(store: Store, number: int) -> Iterator[Callable[[], None]]:
    """Put a sign of the worker of a shard while it works, and another one if it fails.

    Signs that cannot be put are left out.

    Args:
        store: The run.
        number: Number of the shard.

    Yields:
        Function to call again and again, which renews the sign.
    """
    put_at = -SIGN_S

    def renew() -> None:
        nonlocal put_at
        now = time.monotonic()
        if now - put_at >= SIGN_S:
            put_at = now
            _put(store, object_name(number, RUNNING), Sign(time.time()))

    renew()
    try:
        yield renew
    except GeodetectError as error:
        _put(store, object_name(number, FAILED), Sign(time.time(), error_text(error)))
        raise
    else:
        with suppress(GeodetectError):
            store.delete(object_name(number, FAILED))
    finally:
        with suppress(GeodetectError):
            store.delete(object_name(number, RUNNING))


def read_sign(store: Store, name: str) -> Sign | None:
    """Read a sign; None: it is gone, or cannot be read."""
    try:
        values: Any = json.loads(store.get(name))
        return Sign(float(values["time"]), str(values["error"]))
    except (OSError, ValueError, KeyError, TypeError):  # InputError is a ValueError
        return None


def _put(store: Store, name: str, sign: Sign) -> None:
    with suppress(GeodetectError):
        store.put(name, json.dumps(vars(sign)).encode())
