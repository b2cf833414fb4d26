"""Kernels as machine code: the same bits as numba's own calls, kept on disk, and found again without numba."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numba
import numpy as np
import pytest

from lipforge.kernels.arrays import inverse_path
from lipforge.kernels.catalogue import OPS, kernels_of
from lipforge.kernels.crop.kernels import crop_bgr, crop_yuv
from lipforge.kernels.crop.layouts import RECORD_COLUMNS
from lipforge.kernels.crop.planes import described
from lipforge.kernels.errors import ConfigError
from lipforge.kernels.machine_code import Kernel, store
from lipforge.kernels.machine_code.compiler import machine_code
from lipforge.kernels.machine_code.loader import function_from
from lipforge.kernels.machine_code.store import NotStorableError
from lipforge.kernels.mel.engine import engine_for
from lipforge.kernels.mel.kernels import clamp_columns, first_bad_sample, plain_columns
from lipforge.kernels.mel.plan import plan_for
from lipforge.kernels.spec import MelSpec, WhisperMelSpec

SMALL = "lipforge.kernels.mel.numba_emphasis:first_bad_sample"


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LIPFORGE_CACHE", str(tmp_path))
    return tmp_path


def small_kernel() -> Kernel:
    """A kernel that compiles fast and that nobody has called yet."""
    return Kernel(SMALL, "int64(float32[::1])")


def files(cache: Path) -> list[Path]:
    return [path for path in cache.rglob("*") if path.is_file()]


def run_python(program: str) -> str:
    command = [sys.executable, "-P", "-c", program]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout.strip()


# --- without numba


def test_a_new_process_makes_a_mel_and_a_crop_without_numba():
    program = """
import sys
import numpy as np
from lipforge.kernels.crop import crop_face
from lipforge.kernels.mel import MelStream, log_mel
from lipforge.kernels.spec import MelSpec
audio = np.sin(np.arange(4000, dtype=np.float32))
columns = MelStream(MelSpec()).push(audio)
assert columns.shape[1] and (log_mel(audio, MelSpec())[:, : columns.shape[1]] == columns).all()
image = np.arange(64 * 64 * 3, dtype=np.uint8).reshape(64, 64, 3)
assert (crop_face(image, np.eye(2, 3), 32) == image[:32, :32]).all()
print(*{"numba", "torch", "librosa", "scipy", "llvmlite", "lipforge"} & set(sys.modules))
"""
    run_python(program)  # compiles what is missing
    assert set(run_python(program).split()) == {"llvmlite", "lipforge"}


# --- the same bits as numba's own calls


def mel_arguments(spec: MelSpec | WhisperMelSpec, rng: np.random.Generator) -> Iterator[tuple[Kernel, tuple]]:
    """Each kernel of an engine with the arguments that the engine gives it."""
    engine = engine_for(spec)
    recipe, tables = engine._recipe, (engine._tables, engine._taps, engine._scratch)
    signal = rng.normal(0.0, 0.1, 40 * spec.hop_samples).astype(np.float32)
    yield engine._columns, (signal, 7, 13, *tables, np.zeros((80, 15), np.float32), 1)
    segment, out = np.zeros(engine._shape.segment_samples, np.float32), np.zeros((80, 38), np.float32)
    yield engine._whole, (signal, recipe.preemphasis, recipe.reflect, *tables, segment, out)


def assert_same_bits(kernel: Kernel, arguments: tuple) -> None:
    results = []
    for function in (kernel.function, kernel.original()):
        copies = [a.copy() if isinstance(a, np.ndarray) else a for a in arguments]
        results.append((function(*copies), [a.tobytes() for a in copies if isinstance(a, np.ndarray)]))
    assert results[0] == results[1]
    assert results[0][1] != [a.tobytes() for a in arguments if isinstance(a, np.ndarray)]


@pytest.mark.parametrize("spec", [MelSpec(), WhisperMelSpec()], ids=["wav2lip", "whisper"])
def test_mel_columns_are_those_of_the_jit(rng, spec):
    assert_same_bits(*next(mel_arguments(spec, rng)))


@pytest.mark.slow
@pytest.mark.parametrize("spec", [MelSpec(), WhisperMelSpec()], ids=["wav2lip", "whisper"])
def test_whole_mels_are_those_of_the_jit(rng, spec):
    for kernel, arguments in mel_arguments(spec, rng):
        assert_same_bits(kernel, arguments)


def test_clamped_columns_are_those_of_the_jit(rng):
    mel = rng.normal(size=(80, 9)).astype(np.float32)
    assert_same_bits(clamp_columns, (mel, 2, 5, 0.5, True, -0.1))


@pytest.mark.slow
def test_plain_mel_columns_are_those_of_the_jit(rng):
    spec = MelSpec(sample_rate_hz=8000, n_fft=252, hop_samples=61, n_mels=33, fmin_hz=0.0, fmax_hz=4000.0)
    plan = plan_for(spec)
    tables = (plan.window, plan.cosine, plan.sine, plan.radices, plan.first_bin, plan.first_weight, plan.weights)
    levels, out = (1e-5, 1.6, 2.4, -4.0, 4.0), np.zeros((33, 12), np.float32)
    assert_same_bits(plain_columns, (rng.normal(size=1000), 61, *tables, levels, False, out))


def test_a_crop_is_that_of_the_jit(photo, make_similarity):
    path = inverse_path(make_similarity(0.7, 20.0, (60.0, 50.0), 33))
    assert_same_crop(crop_bgr, (*described(photo, 2), path))


def test_a_crop_of_planes_is_that_of_the_jit(rng, make_similarity):
    path = inverse_path(make_similarity(0.7, 20.0, (60.0, 50.0), 33))
    luma, pairs = rng.integers(0, 256, (90, 120), np.uint8), rng.integers(0, 256, (45, 60, 2), np.uint8)
    (y, numbers), (uv, (stride, *rest)) = described(luma, 2), described(pairs, RECORD_COLUMNS + 1)
    mixing = tuple(rng.normal(size=12).tolist())
    records = np.zeros(8 * 45 * 60, np.uint8)
    assert_same_crop(crop_yuv, ((y, uv, uv), (*numbers, stride, stride, *rest), 0.0, records, path, mixing))


def assert_same_crop(kernel: Kernel, frame: tuple[object, ...]) -> None:
    """Not ``assert_same_bits``: of an image the kernel takes its first row, and finds the others behind it."""
    crops = np.zeros((2, 3 * 33 * 33), np.uint8)
    results = [call(*frame, 33, out, 0) for call, out in zip((kernel.function, kernel.original()), crops, strict=True)]
    assert results[0] == results[1]
    assert crops.any()
    np.testing.assert_array_equal(crops[0], crops[1])


# --- what Python hands over, and gets back


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (np.zeros(9), "argument 1 must be a C-contiguous float32 array with 1 axes"),
        (np.zeros(9, ">f4"), "float32"),
        (np.zeros(9, np.float32)[::2], "C-contiguous"),
        (np.zeros((3, 3), np.float32), "with 1 axes"),
        (np.zeros(37, np.uint8)[1:].view(np.float32), "float32"),  # not aligned
        ([0.0], "float32"),
        (None, "float32"),
    ],
    ids=["float64", "swapped", "strided", "2-D", "misaligned", "list", "None"],
)
def test_a_wrong_array_is_refused(argument, message):
    with pytest.raises(TypeError, match=f"first_bad_sample.*{message}"):
        first_bad_sample(argument)


def test_views_subclasses_and_read_only_arrays_are_fine(tmp_path):
    array = np.arange(10, dtype=np.float32)
    array[6] = np.nan
    mapped = np.memmap(tmp_path / "samples", np.float32, "w+", shape=10)
    mapped[:] = array
    frozen = array.copy()
    frozen.flags.writeable = False
    assert [first_bad_sample(a) for a in (array, array[4:], mapped, frozen, array[:0])] == [6, 2, 6, 6, -1]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((), TypeError),
        ((1, 2, 3), TypeError),
        ((0.5, 1.0, True, (1, 2.0)), TypeError),
        ((2**70, 1.0, True, (1, 2.0)), OverflowError),
        ((1, "x", True, (1, 2.0)), TypeError),
        ((1, 1.0, True, (1, 2.0, 3)), TypeError),
        ((1, 1.0, True, [1, 2.0]), (TypeError, SystemError)),
    ],
)
def test_numbers_tuples_and_results_pass_and_wrong_ones_are_refused(arguments, error, mixed):
    with pytest.raises(error):
        mixed(*arguments)
    assert mixed(np.int64(-3), np.float32(0.5), np.True_, (7, 2)) == (-3 + 7, 2.5, True)
    assert mixed(2, -1, 0, (-3, 1.0)) == (-1, 0.0, False)


@pytest.fixture(scope="module")
def mixed():
    @numba.njit(nogil=True)
    def function(whole, real, flag, pair):
        return whole + pair[0], np.float32(real + pair[1]), flag

    signature = "Tuple((int32,float32,boolean))(int32,float64,boolean,Tuple((int64,float64)))"
    return function_from(machine_code(function, signature, "mixed"), "mixed")


def test_an_error_inside_is_an_error_outside():
    @numba.njit
    def fails(x):
        if x < 0:
            raise ValueError("negative")
        return x

    function = function_from(machine_code(fails, "int64(int64)", "fails"), "fails")
    assert function(3) == 3
    with pytest.raises(RuntimeError, match="fails"):
        function(-3)


def test_memory_of_arrays_made_inside_is_given_back():
    resource = pytest.importorskip("resource", reason="needs a system that tells a process's largest size")
    mel = np.zeros((1, 500_000), np.float32)
    clamp_columns(mel, 0, mel.shape[1], 1.0, True, 0.0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(100):  # each makes arrays of 6 MB
        clamp_columns(mel, 0, mel.shape[1], 1.0, True, 0.0)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def test_other_threads_run_meanwhile(photo):
    row, numbers = described(photo, 2)
    path, out = (40.0, 0.0, 0.0, 0.0, 40.0, 0.0), np.zeros(3 * 1000 * 1000, np.uint8)
    started, finished = threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        crop_bgr.function(row, numbers, path, 1000, out, 0)
        finished.set()

    thread = threading.Thread(target=work)
    thread.start()
    started.wait()
    turns = 0
    while not finished.is_set():
        turns += 1
    thread.join()
    assert turns > 1000


# --- on disk


def test_machine_code_is_kept_and_found_again(empty_cache, monkeypatch):
    first, second = small_kernel(), small_kernel()
    assert not first.ready
    assert first(np.array([0.0, np.inf], np.float32)) == 1
    (path,) = files(empty_cache)
    assert first.ready
    assert path.name.startswith("mel.numba_emphasis.first_bad_sample-")
    monkeypatch.setattr(Kernel, "_compile", lambda self: pytest.fail("compiled again"))
    assert second(np.array([np.nan], np.float32)) == 0
    assert not second.prepare()


@pytest.mark.parametrize("damage", ["empty", "cut", "changed"])
def test_a_damaged_file_is_made_anew(empty_cache, damage):
    assert small_kernel().prepare()
    (path,) = files(empty_cache)
    whole = path.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    path.write_bytes({"empty": b"", "cut": whole[:-1], "changed": flipped}[damage])
    assert not small_kernel().ready
    assert small_kernel()(np.zeros(1, np.float32)) == -1
    assert small_kernel().ready
    assert files(empty_cache) == [path]


def test_a_folder_that_cannot_be_written_stops_only_what_was_asked_for(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("LIPFORGE_CACHE", str(tmp_path / "file"))
    assert small_kernel()(np.zeros(1, np.float32)) == -1
    with pytest.raises(ConfigError, match="LIPFORGE_CACHE"):
        small_kernel().prepare()


def test_processes_that_compile_at_the_same_time_do_not_disturb_each_other(empty_cache):
    program = """
import numpy as np
from lipforge.kernels.mel.kernels import first_bad_sample
assert first_bad_sample(np.zeros(3, np.float32)) == -1
"""
    command = [sys.executable, "-P", "-c", program]
    running = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait(120) for process in running] == [0, 0, 0]
    assert len(files(empty_cache)) == 1
    assert small_kernel().ready


def test_the_name_tells_signature_and_variant_apart():
    kernels = [Kernel(SMALL, "a"), Kernel(SMALL, "b"), Kernel(SMALL, "a", (1,)), Kernel(SMALL, "a", (2,))]
    assert len({kernel.name for kernel in kernels}) == 4
    everything = {kernel for op in OPS for kernel in kernels_of(op)}
    assert len({kernel.name for kernel in everything}) == len(everything)


def test_code_that_fits_one_process_only_stays_numbas_own(empty_cache, monkeypatch, caplog):
    @numba.njit
    def shout(x):
        print(x)
        return x

    with pytest.raises(NotStorableError, match="shout"):
        machine_code(shout, "int64(int64)", "shout")
    monkeypatch.setattr(Kernel, "original", lambda self: shout)
    kernel = Kernel("lipforge.kernels.shout:shout", "int64(int64)")
    assert kernel(3) == 3
    assert kernel.function is shout
    assert "compiled by every process" in caplog.text
    with pytest.raises(NotStorableError):
        kernel.prepare()


def test_without_numbas_compiler_the_plain_function_runs():
    program = """
import os
os.environ["NUMBA_DISABLE_JIT"] = "1"
import numpy as np
from lipforge.kernels.mel.kernels import clamp_columns
mel = np.zeros((2, 3), np.float32)
print(clamp_columns(mel, 0, 3, 1.0, True, 2.0), mel.min())
"""
    assert run_python(program) == "2.0 1.0"


# --- when it no longer fits


def test_any_change_of_a_source_is_another_environment(tmp_path):
    (tmp_path / "op").mkdir()
    source = tmp_path / "op" / "numba_op.py"
    source.write_text("a = 1\n")
    (tmp_path / "triton_op.py").write_text("")
    before = store.source_digest(tmp_path)
    (tmp_path / "triton_op.py").write_text("# never part of a numba kernel\n")
    assert store.source_digest(tmp_path) == before
    source.write_text("a = 2\n")
    changed = store.source_digest(tmp_path)
    source.rename(tmp_path / "op" / "other.py")
    assert len({before, changed, store.source_digest(tmp_path)}) == 3


@pytest.mark.parametrize("variable", ["NUMBA_OPT", "NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES"])
def test_settings_of_numba_are_part_of_the_environment(variable, monkeypatch):
    before = list(store._ingredients())
    monkeypatch.setenv("NUMBA_CACHE_DIR", "elsewhere")
    assert list(store._ingredients()) == before
    monkeypatch.setenv(variable, "0")
    assert list(store._ingredients()) != before


def test_folders_that_nobody_used_for_long_are_deleted(empty_cache):
    import os

    old, recent = (empty_cache / "kernels" / name for name in ("old", "recent"))
    for folder, days in ((old, store.UNUSED_DAYS + 1), (recent, store.UNUSED_DAYS - 1)):
        folder.mkdir(parents=True)
        (folder / "kernel.bin").touch()
        then = folder.stat().st_mtime - days * 24 * 3600
        os.utime(folder, (then, then))
    assert store.save("some", b"code")
    assert (old.exists(), recent.exists(), store.load("some")) == (False, True, b"code")


def test_a_kernel_is_compiled_once_for_all_threads(empty_cache, monkeypatch):
    kernel, compiled = small_kernel(), []
    original = Kernel._compile
    monkeypatch.setattr(Kernel, "_compile", lambda self: compiled.append(1) or original(self))
    threads = [threading.Thread(target=lambda: replace(kernel)(np.zeros(1, np.float32))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert compiled == [1]
