"""Face clips in a dataset: the files of one sample that the trainers of the Wav2Lip family read (docs/formats.md)."""

from __future__ import annotations

import io
import wave
from typing import Any

import numpy as np
import numpy.typing as npt

from lipforge.kernels.mel import VALUES_VERSION, log_mel
from lipforge.kernels.spec import MelSpec

FACE_PX = 96
FULL_SCALE = 32768


def faces_header() -> dict[str, Any]:
    """The keys that face clips add to ``dataset.json``."""
    return {"faces": {"size_px": FACE_PX}, "mel_version": VALUES_VERSION}


def face_files(
    faces: npt.NDArray[np.uint8], frames: npt.NDArray[np.int32], samples: npt.NDArray[np.int16], mel: MelSpec
) -> dict[str, bytes]:
    """Return the files of a face clip by suffix.

    Args:
        faces: uint8 (K, 96, 96, 3) RGB.
        frames: int32 (K,), their numbers, ascending; one that has no face is left out.
        samples: int16 (n,), mono, at the mel's rate.
        mel: recipe of the spectrogram that is kept beside the sound.
    """
    # Of the sound as it is stored: whoever makes the spectrogram again gets the same one.
    columns = log_mel(samples.astype(np.float32) / np.float32(FULL_SCALE), mel).astype(np.float16)
    return {
        "wav": encode_wav(samples, mel.sample_rate_hz),
        "mel.npy": encode_npy(columns),
        "frames.npy": encode_npy(np.ascontiguousarray(frames, np.int32)),
        # Plane by plane: networks take them so, and the expert reads nothing but the lower halves.
        "faces.npy": encode_npy(np.ascontiguousarray(faces.transpose(0, 3, 1, 2))),
    }


def to_int16(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.int16]:
    """Round sound in [-1, 1] to 16 bits, as readers take it: 16 bits in, the same 16 bits out."""
    return np.asarray(np.clip(np.rint(samples * np.float32(FULL_SCALE)), -FULL_SCALE, FULL_SCALE - 1), np.int16)


def encode_wav(samples: npt.NDArray[np.int16], rate_hz: int) -> bytes:
    """Return a mono s16le WAV file of int16 (n,) samples."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(samples.astype("<i2").tobytes())
    return buffer.getvalue()


def encode_npy(array: npt.NDArray[Any]) -> bytes:
    """Return a ``.npy`` file."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()
