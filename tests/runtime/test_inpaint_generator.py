"""Bundles of kind inpaint through the engine: what is cut out, what is heard, what is painted, and where."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from math import ceil, floor
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from lipforge.kernels.errors import ConfigError
from lipforge.kernels.mel import log_mel
from lipforge.kernels.spec import FaceBoxSpec, MelChunkSpec, MelSpec
from lipforge.runtime.bundle import Bundle
from lipforge.runtime.faces import Face
from lipforge.runtime.inpaint_generator import BOX_FADE, CROP_FADE, InpaintGenerator, mouth_mask
from lipforge.runtime.media.video_writer import EncoderOptions
from lipforge.runtime.picture import Picture
from lipforge.runtime.session import OutputFrame, Session
from lipforge.runtime.sync import SyncJob, sync

Image = NDArray[np.uint8]
RATE_HZ, WIDTH, HEIGHT = 16_000, 160, 120
MakeBundle = Callable[..., Bundle]
Scene = Callable[..., Image]
Voice = Callable[[int, int], NDArray[np.float32]]


class BoxedTracker:
    """The tracker of drawn discs, whose mesh is the disc's rim."""

    def __init__(self, discs: object) -> None:
        self._discs = discs

    def reset(self) -> None:
        self._discs.reset()

    def track(self, image: object) -> Face | None:
        face = self._discs.track(image)
        if face is None:
            return None
        scale = face.transform[0, 0]
        centre, radius = (48.0 - face.transform[:, 2]) / scale, 32.0 / scale
        angle = np.linspace(0, 2 * np.pi, 468, endpoint=False)
        rim = np.zeros((468, 3), np.float32)
        rim[:, :2] = centre + radius * np.stack([np.cos(angle), np.sin(angle)], 1)
        return replace(face, landmarks=rim)


@pytest.fixture
def tracker(disc_tracker: object) -> BoxedTracker:
    return BoxedTracker(disc_tracker)


def run(
    bundle: Bundle, tracker: BoxedTracker, scene: Scene, audio: NDArray[np.float32], frames: int
) -> list[OutputFrame]:
    tracker.reset()
    with Session(bundle, 25, tracker=tracker) as session:
        session.push_audio(audio, RATE_HZ)
        for index in range(frames):
            session.push_frame(scene(WIDTH, HEIGHT, index))
        session.flush()
        return list(session)


@pytest.mark.parametrize("offset_frames", [0, -1])
def test_each_frame_is_driven_by_the_window_that_the_manifest_says(
    inpaint_bundle: MakeBundle, tracker: BoxedTracker, scene: Scene, voice: Voice, offset_frames: int
) -> None:
    """The painted green tells the mean of the mel window; offline chunks give the same, frame by frame."""
    audio = voice(RATE_HZ, RATE_HZ)
    bundle = inpaint_bundle(offset_frames)
    mel = log_mel(audio, MelSpec())
    padded = np.pad(mel, ((0, 0), (20, 40)), constant_values=-4.0)
    seen = []
    for index, frame in enumerate(run(bundle, tracker, scene, audio, 25)):
        first = 20 + MelChunkSpec(offset_frames=offset_frames).first_column(index, MelSpec(), 25.0)
        wanted = 30.0 * (padded[:, first : first + 16].mean() + 4.0)
        face = tracker.track(Picture.of(scene(WIDTH, HEIGHT, index)))
        x, y = np.round(face.landmarks[:, :2].mean(0) + np.array([0, 14])).astype(int)
        assert frame.stats.driven
        assert abs(float(frame.image[y, x, 1]) - wanted) <= 1.0, f"frame {index}"
        assert frame.image[y, x, 0] == frame.image[y, x, 2] == 0
        seen.append(wanted)
    assert np.ptp(seen) > 20


def test_the_session_waits_for_the_look_ahead_of_the_chunk(
    inpaint_bundle: MakeBundle, tracker: BoxedTracker, scene: Scene, voice: Voice
) -> None:
    bundle = inpaint_bundle(-1)
    assert bundle.manifest.lookahead_ms == 172.5
    with Session(bundle, 25, tracker=tracker) as session:
        assert session.lookahead == Fraction(1725, 10_000)
        session.push_frame(scene(WIDTH, HEIGHT, 0))
        session.push_frame(scene(WIDTH, HEIGHT, 1))
        # Frame 1 is at 40 ms; its window starts a frame early, with column 0: 15 columns and half an FFT, 3400 samples.
        session.push_audio(voice(3399, RATE_HZ), RATE_HZ)
        assert len(list(session)) == 1
        session.push_audio(np.zeros(1, np.float32), RATE_HZ)
        assert len(list(session)) == 1


@pytest.mark.parametrize("anchor", ["landmarks", "alignment", None])
def test_only_the_lower_half_of_the_face_changes(
    inpaint_bundle: MakeBundle, tracker: BoxedTracker, scene: Scene, voice: Voice, anchor: str | None
) -> None:
    box = None if anchor is None else FaceBoxSpec(anchor=anchor, box=(0.0, 0.0, 1.0, 1.0))
    (frame,) = run(inpaint_bundle(0, box), tracker, scene, voice(RATE_HZ, RATE_HZ), 1)
    before = scene(WIDTH, HEIGHT, 0)
    rows, columns = np.nonzero((frame.image != before).any(2))
    # The disc has its middle at (80, 64) and a radius of 30; the crop of the tracker is three radii wide.
    top, low, half_width = {"landmarks": (34, 104, 30), "alignment": (19, 119, 45), None: (19, 109, 45)}[anchor]
    side, middle = low - top, (top + low) / 2
    assert rows.min() >= middle - side / 12 - 1.5
    assert rows.max() <= low
    assert 80 - half_width - 1 <= columns.min() <= 80 - 0.6 * half_width
    assert 80 + 0.6 * half_width <= columns.max() <= 80 + half_width + 1
    assert rows.max() >= middle + 0.4 * side


def test_no_edge_shows_where_the_painted_part_ends(
    inpaint_bundle: MakeBundle, tracker: BoxedTracker, scene: Scene
) -> None:
    """Silence paints black; on its way to the frame's own grey at the sides and below the chin no pixel jumps."""
    grey = np.full((HEIGHT, WIDTH, 3), 120, np.uint8)
    generator = InpaintGenerator(inpaint_bundle())
    face = tracker.track(Picture.of(scene(WIDTH, HEIGHT, 0)))
    out = grey.copy()
    generator.prepare(Picture.of(out), face)
    generator.render(np.full((80, 16), -4.0, np.float32), Picture.of(out))
    assert out.min() == 0
    painted = out[80:, :, 0].astype(int)  # from below the line at which this network's own picture turns black
    assert max(np.abs(np.diff(painted, axis=axis)).max() for axis in (0, 1)) <= 40  # a hard edge is a step of 120


def test_a_network_that_draws_what_it_sees_changes_next_to_nothing(
    inpaint_bundle: MakeBundle, tracker: BoxedTracker, scene: Scene, voice: Voice
) -> None:
    """Cut out and paste back are each other's inverse: what is left is the softness of resampling."""
    (frame,) = run(inpaint_bundle(paint=False), tracker, scene, voice(RATE_HZ, RATE_HZ), 1)
    before = scene(WIDTH, HEIGHT, 0)
    assert np.abs(frame.image.astype(int) - before).mean() < 0.3


def test_the_mask_is_whole_at_the_mouth_and_nothing_at_the_edges() -> None:
    for size, (start, end) in ((48, BOX_FADE), (96, BOX_FADE), (96, CROP_FADE), (192, CROP_FADE)):
        mask = mouth_mask(size, (start, end))
        assert mask.shape == (size, size)
        assert mask.dtype == np.float32
        assert mask.min() == 0.0
        assert mask.max() == 1.0
        assert not mask[[0, -1]].any()
        assert not mask[:, [0, -1]].any()
        assert (mask[ceil(end * size) : round(0.8 * size), round(0.2 * size) : round(0.8 * size)] > 0.99).all()
        assert not mask[: floor(start * size)].any()
        assert np.array_equal(mask, mask[:, ::-1])


def test_rendering_needs_a_frame_and_forgets_on_reset(
    inpaint_bundle: MakeBundle, tracker: BoxedTracker, scene: Scene
) -> None:
    generator, picture = InpaintGenerator(inpaint_bundle()), Picture.of(scene(WIDTH, HEIGHT, 0))
    window = np.zeros((80, 16), np.float32)
    with pytest.raises(ConfigError, match="prepare"):
        generator.render(window, picture)
    generator.prepare(picture, tracker.track(picture))
    generator.render(window, picture)
    assert generator.times.net_ms > 0
    generator.reset()
    assert generator.times.net_ms == 0
    with pytest.raises(ConfigError, match="prepare"):
        generator.render(window, picture)


def test_a_bundle_without_a_generator_syncs_nothing(
    inpaint_bundle: MakeBundle, tracker: BoxedTracker, bundle_copy: Path
) -> None:
    bundle = inpaint_bundle()
    judge = replace(bundle, manifest=replace(bundle.manifest, generator="none"))
    with pytest.raises(ConfigError, match="generator 'none' draws nothing"):
        Session(judge, 25, tracker=tracker)
    plain = replace(judge, manifest=replace(judge.manifest, specs={}))
    with pytest.raises(ConfigError, match=r"has no 'window'; it holds wav2lip and generator 'none'\. Use one whose"):
        Session(plain, 25, tracker=tracker)


def test_files_are_synced(
    inpaint_bundle: MakeBundle,
    tracker: BoxedTracker,
    make_video: Callable[..., Path],
    make_wav: Callable[..., Path],
    tmp_path: Path,
) -> None:
    face, voice = make_video(frames=30, size=(WIDTH, HEIGHT), faces=lambda i: i != 7), make_wav(seconds=0.8)
    out = tmp_path / "out.mp4"
    job = SyncJob(face, voice, out, encoder=EncoderOptions(crf=0, preset="ultrafast"))
    report = sync(job, inpaint_bundle(-1), tracker=tracker)
    assert (report.frames, report.driven_frames, report.faceless_frames) == (20, 19, 1)
    with av.open(str(out)) as container:
        pictures = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
    with av.open(str(face)) as container:
        sources = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
    changed = [np.abs(a.astype(int) - b).mean() for a, b in zip(pictures, sources, strict=False)]
    assert changed[7] < 0.5
    assert min(changed[:7] + changed[8:]) > 3
