"""Programs that speak, for training data: external, optional, never part of the package."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass

from lipforge.kernels.errors import BackendError

_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class SpeechProgram:
    """A program of the system.

    Attributes:
        name: of the program, and of the engine in `lipforge preprocess synth --voices`.
        voices: what it adds.
        how_to_install: a sentence.
        version: arguments that make it say its version.
    """

    name: str
    voices: str
    how_to_install: str
    version: tuple[str, ...]

    def find(self) -> str | None:
        """Return its path, or None."""
        return shutil.which(self.name)

    def require(self) -> str:
        """Return its path.

        Raises:
            BackendError: it is not installed; the message says how to.
        """
        path = self.find()
        if path is None:
            told = f"the voices of {self.name} were asked for and the program is not there."
            raise BackendError(f"{told} {self.how_to_install}")
        return path

    def version_line(self, path: str) -> str:
        """Return what it says about its version, one line.

        Raises:
            OSError, subprocess.SubprocessError: it does not run.
        """
        command = [path, *self.version]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
        lines = [line.strip() for line in (done.stdout + done.stderr).splitlines()]
        told = [line for line in lines if any(character.isdigit() for character in line)]
        return next((line for line in told if "version" in line.lower()), told[0] if told else "unknown version")


FLITE = SpeechProgram(
    "flite",
    "five English voices",
    "Install flite with your package manager (Debian and Ubuntu: apt install flite).",
    ("--version",),
)
FESTIVAL = SpeechProgram(
    "festival",
    "American, Italian, Czech and Finnish voices",
    "Install festival and its voices with your package manager (Debian and Ubuntu: apt install festival "
    "festvox-kdlpc16k festvox-kallpc16k festvox-italp16k festvox-itapc16k festvox-czech-dita festvox-czech-krb "
    "festvox-czech-machac festvox-czech-ph festvox-suopuhe-mv festvox-suopuhe-lj).",
    ("--version",),
)
PROGRAMS = (FLITE, FESTIVAL)
