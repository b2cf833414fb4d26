"""Does a bundle in 8 bits lose sync? Bundles of one Wav2Lip generator, judged by an expert on held-out clips.

    python benchmarks/sync_of_bundles.py EXPERT DATA BUNDLE BUNDLE... --windows 145

EXPERT is a syncnet checkpoint, DATA a dataset of face clips. Every bundle draws the same windows of five frames.
Printed are -log of the expert's chance that sound and mouths belong together, for the real frames and for each bundle,
and how much more than with the first bundle, with 95 % intervals of the paired difference.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lipforge.export.int8.samples import mel_window
from lipforge.runtime.bundle import Bundle
from lipforge.train.checkpoint import build_model, load_checkpoint
from lipforge.train.clip_windows import usable_starts
from lipforge.train.face_clips import open_face_clips

FRAMES, SEED, LEAST_CHANCE = 5, 5, 1e-7
REAL = "real frames"


def sync_losses(expert: Path, data: Path, bundles: Sequence[Path], windows: int) -> dict[str, np.ndarray]:
    """Return the sync loss of each window, float64 (windows,), for the real frames and each bundle."""
    import torch

    from lipforge.kernels.spec import MelChunkSpec

    checkpoint = load_checkpoint(expert)
    network, chunk = build_model(checkpoint), checkpoint.spec("mel_chunk", MelChunkSpec)
    loaded = {str(path): Bundle.load(path) for path in bundles}
    engines = {name: bundle.engine("wav2lip") for name, bundle in loaded.items()}
    manifest = next(iter(loaded.values())).manifest
    size = manifest.graphs["wav2lip"].outputs[0].shape[1]
    clips, random = open_face_clips(data).held_out, np.random.default_rng(SEED)
    losses: dict[str, list[float]] = {name: [] for name in (REAL, *loaded)}

    def loss(frames: np.ndarray, mel: np.ndarray) -> float:
        halves = frames[:, frames.shape[1] // 2 :].transpose(0, 3, 1, 2).reshape(1, -1, frames.shape[1] // 2, size)
        with torch.no_grad():
            sound, mouths = network(torch.from_numpy(mel), torch.from_numpy(halves.astype(np.float32) / 255))
        return -float(np.log(max(LEAST_CHANCE, float((sound * mouths).sum()))))

    for number in range(windows):
        clip = clips[number % len(clips)]
        first = int(random.choice(usable_starts(clip, manifest.mel, chunk, manifest.fps)))
        spectrogram = clip.read_mel(manifest.mel).astype(np.float32)
        start = chunk.first_column(first, manifest.mel, manifest.fps)
        heard = np.ascontiguousarray(spectrogram[None, None, :, start : start + chunk.columns])
        faces = np.ascontiguousarray(clip.read_frames(first, FRAMES, int(size)).transpose(0, 2, 3, 1))
        mels = np.concatenate([mel_window(spectrogram, first + frame, manifest) for frame in range(FRAMES)])
        losses[REAL].append(loss(faces, heard))
        for name, engine in engines.items():
            drawn: Any = engine.run({"mel": mels, "face": faces, "reference": faces})["image"]
            losses[name].append(loss(drawn, heard))
    return {name: np.array(values) for name, values in losses.items()}


def main(words: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("expert", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("bundles", type=Path, nargs="+")
    parser.add_argument("--windows", type=int, default=145)
    options = parser.parse_args(words)
    losses = sync_losses(options.expert, options.data, options.bundles, options.windows)
    first = losses[str(options.bundles[0])]
    print("| | sync loss | more than the first bundle |\n|-|-|-|")
    for name, values in losses.items():
        more = values - first
        print(f"| {name} | {values.mean():.4f} | {more.mean():+.4f} ± {1.96 * more.std() / len(more) ** 0.5:.4f} |")


if __name__ == "__main__":
    main()
