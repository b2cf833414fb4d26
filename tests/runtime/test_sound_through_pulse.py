"""Microphone and speaker against a sound server of the test's own, whose devices lead nowhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import wave
from collections.abc import Iterator
from pathlib import Path
from time import sleep

import numpy as np
import pytest

PROGRAMS = ("pulseaudio", "pactl", "paplay", "parec")
SINKS = ("speaker", "cable")
# A null sink works as far ahead as its slowest client allows, up to 2 s, and stays at that while a quicker one comes:
# that one then gets nothing until the 2 s are over. So all of ours are quick, the player less so: it must not run dry.
QUICK, PLAYER_QUICK = "--latency-msec=20", "--latency-msec=200"
TONE_HZ = 440

LISTEN = """
import threading
import numpy as np
from lipforge.runtime.sources.microphone import MicrophoneSource
source, stop, heard = MicrophoneSource("pulse"), threading.Event(), []
def hear(pcm, rate):
    heard.append(pcm)
    if sum(map(len, heard)) > 1.5 * rate:
        stop.set()
patience = threading.Timer(20.0, stop.set)  # a busy machine is long about opening a device
patience.daemon = True
patience.start()
source.run(hear, stop, print)
sound = np.concatenate(heard)
np.save(sys.argv[1], sound)
print(source.sample_rate_hz, heard[0].shape, heard[0].dtype)
"""

PLAY = """
from fractions import Fraction
import numpy as np
from lipforge.runtime.live import LiveFrame, Playback
from lipforge.runtime.output_frame import FrameStats
from lipforge.runtime.sinks.speaker import SpeakerSink
sink = SpeakerSink("pulse")
picture, stats = np.zeros((2, 2, 3), np.uint8), FrameStats(True, True, 0.0)
for index, sound in enumerate(np.split(np.load(sys.argv[1]), 50)):
    pts, playback = index * Fraction(1, 25), Playback(0, 0.0, 0.0)
    sink.write(LiveFrame(picture, pts, sound[:, None], len(sound) * index, stats, None, 48_000, 0, playback))
sink.close()
"""

LIST = """
from lipforge.kernels.errors import InputError
from lipforge.runtime.sources.microphone import MicrophoneSource
try:
    MicrophoneSource("no such thing")
except InputError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A server with a speaker and a virtual cable; gives the environment in which programs find it."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)} (apt: pulseaudio, pulseaudio-utils)")
    ready = subprocess.run([sys.executable, "-c", "import sounddevice"], capture_output=True, text=True, check=False)
    if ready.returncode:
        pytest.skip("needs the extra lipforge[live] and PortAudio (apt: libportaudio2, libasound2-plugins)")
    folder = tmp_path_factory.mktemp("pulse")
    folder.chmod(0o700)
    environment = os.environ | {"XDG_RUNTIME_DIR": str(folder), "HOME": str(folder), "PYTHONSAFEPATH": "1"}
    environment.pop("PULSE_SERVER", None)
    # In the format of what is played, so that nothing is resampled.
    sinks = (f"module-null-sink sink_name={name} rate=48000 format=float32le channels=1" for name in SINKS)
    modules = ("module-native-protocol-unix", *sinks)
    command = ["pulseaudio", "-n", "--daemonize=no", "--disable-shm=yes", "--exit-idle-time=-1", "--use-pid-file=no"]
    daemon = subprocess.Popen(
        [*command, *(word for module in modules for word in ("-L", module))],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for words in (["set-default-sink", "speaker"], ["set-default-source", "cable.monitor"]):
            for _ in range(50):
                if subprocess.run(["pactl", *words], env=environment, capture_output=True, check=False).returncode == 0:
                    break
                sleep(0.1)
            else:
                pytest.skip("the sound server does not start here")
        yield environment
    finally:
        daemon.terminate()
        daemon.wait()


def run(program: str, environment: dict[str, str], *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{program}", *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def wait_for_data(path: Path) -> None:
    for _ in range(100):
        if path.stat().st_size:
            return
        sleep(0.1)
    pytest.fail(f"{path.name} stays empty")


def write_tone(path: Path, seconds: int) -> None:
    tone = (0.5 * np.sin(2 * np.pi * TONE_HZ * np.arange(48_000 * seconds) / 48_000) * 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48_000)
        file.writeframes(tone.tobytes())


def test_a_microphone_hears_the_virtual_cable(server: dict[str, str], tmp_path: Path) -> None:
    write_tone(tmp_path / "tone.wav", seconds=20)
    player = subprocess.Popen(["paplay", "--device=cable", PLAYER_QUICK, str(tmp_path / "tone.wav")], env=server)
    try:
        rate, _, kind = run(LISTEN, server, str(tmp_path / "heard.npy")).strip().partition(" ")
    finally:
        player.kill()
        player.wait()
    assert kind.endswith("float32")
    heard = np.load(tmp_path / "heard.npy")
    assert heard.ndim == 2
    loud = np.abs(heard[:, 0]) > 0.05
    assert np.count_nonzero(loud) > 0.5 * int(rate)
    assert np.mean(loud) > 0.85  # of a tone at 0.5 this is 0.94; a busy machine tears holes
    spectrum = np.abs(np.fft.rfft(heard[:, 0] * np.hanning(len(heard))))
    assert float(np.argmax(spectrum)) * int(rate) / len(heard) == pytest.approx(TONE_HZ, abs=3)


def test_a_speaker_plays_every_sample(server: dict[str, str], tmp_path: Path) -> None:
    sent = np.linspace(0.1, 0.9, 96_000, dtype=np.float32)  # every sample's value says which it is
    np.save(tmp_path / "sent.npy", sent)
    with (tmp_path / "played.raw").open("wb") as file:
        recorder = subprocess.Popen(
            ["parec", "--device=speaker.monitor", QUICK, "--format=float32le", "--rate=48000", "--channels=1"],
            env=server,
            stdout=file,
        )
        try:
            wait_for_data(tmp_path / "played.raw")
            run(PLAY, server, str(tmp_path / "sent.npy"))
            sleep(0.5)
        finally:
            recorder.terminate()
            recorder.wait()
    played = np.fromfile(tmp_path / "played.raw", "<f4")
    heard = played[played != 0]
    assert heard[0] == sent[0]
    assert heard[-1] == sent[-1]
    assert (np.diff(heard) > 0).all()
    # All of them; a null sink takes back up to 20 ms when a busy machine made it run dry.
    assert len(heard) >= 0.98 * len(sent)


def test_an_unknown_device_is_one_line_that_lists_the_known(server: dict[str, str]) -> None:
    said = run(LIST, server).strip()
    assert "--mic: there is no such sound input. Here are: " in said
    assert "pulse" in said
    assert "\n" not in said
