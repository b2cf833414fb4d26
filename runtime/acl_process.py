"""What a process has only one of: acl's initialisation and the devices that are set."""

from __future__ import annotations

import threading
import weakref
from collections import Counter
from functools import cache
from typing import Any

from lipforge.runtime.acl_errors import REPEAT_INITIALIZE
from lipforge.runtime.acl_module import Acl


class AclProcess:
    """Initialises acl once and counts who uses a device. ``acl_process`` gives the one of this process.

    Where another library, such as torch_npu, has initialised acl before, nothing of it is undone: neither the
    initialisation nor a device, whose reset would take that library's memory away. What was initialised here is
    finalised when the interpreter ends and not before, since older versions of CANN cannot be initialised again.
    """

    def __init__(self, acl: Acl) -> None:
        self.acl = acl
        self._lock = threading.Lock()
        self._users: Counter[int] = Counter()
        self._started = False
        self._finalise: weakref.finalize[Any, AclProcess] | None = None

    @property
    def owner(self) -> bool:
        """Whether acl was initialised here."""
        return self._finalise is not None

    def start(self) -> None:
        """Initialise acl unless that has been done.

        Raises:
            BackendError: acl refuses.
        """
        with self._lock:
            if self._started:
                return
            code = self.acl.code("init")
            if code != REPEAT_INITIALIZE:
                self.acl.check("init", code)
                self._finalise = weakref.finalize(self, self.acl.code, "finalize")
            self._started = True

    def device_count(self) -> int:
        """Return how many NPUs this process sees.

        Raises:
            BackendError: the driver refuses.
        """
        self.start()
        return int(self.acl.get("rt.get_device_count"))

    def soc_name(self) -> str:
        """Return the chip's name as ``atc --soc_version`` takes it; empty if acl does not tell."""
        self.start()
        return str(self.acl.ask("get_soc_name") or "")

    def retain_device(self, device: int) -> None:
        """Set a device for one more user.

        Raises:
            BackendError: there is no such device, or acl refuses.
        """
        self.start()
        with self._lock:
            if self._users[device] == 0:
                self.acl.do("rt.set_device", device)
            self._users[device] += 1

    def release_device(self, device: int) -> None:
        """Let a user go; the last one resets the device.

        Raises:
            BackendError: acl refuses.
        """
        with self._lock:
            self._users[device] -= 1
            if self._users[device] == 0 and self.owner:
                self.acl.do("rt.reset_device", device)

    def shutdown(self) -> None:
        """Finalise acl if it was initialised here; for the end of the process."""
        with self._lock:
            if self._finalise is not None:
                self._finalise()
            self._finalise, self._started = None, False


def acl_process(acl: Acl) -> AclProcess:
    """Return the process's state of a module, the same for every caller."""
    return _process_of(acl.module)


@cache
def _process_of(module: Any) -> AclProcess:
    return AclProcess(Acl(module))
