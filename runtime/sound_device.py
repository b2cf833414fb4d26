"""Finding microphones and speakers, with errors that say what there is."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

from lipforge.kernels.errors import InputError
from lipforge.runtime.packages import require


@dataclass(frozen=True)
class SoundDevice:
    """A microphone or speaker.

    Attributes:
        number: PortAudio's.
        name: as the system calls it.
        sample_rate_hz: that it works at by itself.
    """

    number: int
    name: str
    sample_rate_hz: float


def sound_devices() -> ModuleType:
    """Return the package sounddevice.

    Raises:
        MissingPackageError: it is not installed.
        InputError: it is, but PortAudio is not.
    """
    try:
        return require("sounddevice")
    except OSError as error:  # its wheel for Linux does not bring PortAudio along
        raise InputError(
            f"sounddevice cannot start ({error}). Install PortAudio: sudo apt install libportaudio2 "
            "(dnf install portaudio; brew install portaudio)."
        ) from error


def find_device(sounddevice: ModuleType, wanted: str | None, kind: str, option: str) -> SoundDevice:
    """Find a device.

    Args:
        sounddevice: the package.
        wanted: a number or a part of a name; None for the system's default.
        kind: ``"input"`` or ``"output"``.
        option: what the user gave it with; starts the message.

    Raises:
        InputError: there is no such device; the message lists what there is.
    """
    channels = f"max_{kind}_channels"
    fitting = [device for device in sounddevice.query_devices() if device[channels] > 0]
    if wanted is None:
        try:
            default = sounddevice.query_devices(kind=kind)
        except (sounddevice.PortAudioError, ValueError):
            default = fitting[0] if fitting else None
        chosen = default
    elif wanted.isdigit():
        chosen = next((device for device in fitting if device["index"] == int(wanted)), None)
    else:
        chosen = next((device for device in fitting if wanted.lower() in device["name"].lower()), None)
    if chosen is None:
        listed = "; ".join(f"{device['index']} {device['name']}" for device in fitting) or "none at all"
        raise InputError(f"{option}: there is no such sound {kind}. Here are: {listed}.")
    return SoundDevice(int(chosen["index"]), str(chosen["name"]), float(chosen["default_samplerate"]))
