from __future__ import annotations

import os
from pathlib import Path

import pytest

from lipforge.kernels.errors import InputError
from lipforge.runtime.media.output_file import OutputFile


def write(path: Path, *, overwrite: bool = False, inputs: tuple[Path, ...] = ()) -> None:
    with OutputFile(path, inputs, overwrite=overwrite) as output:
        output.part.write_bytes(b"new")


def fail_half_way(path: Path, error: type[BaseException]) -> None:
    with OutputFile(path, overwrite=True) as output:
        output.part.write_bytes(b"half")
        raise error


def write_while_another_does(path: Path) -> None:
    with OutputFile(path) as output:
        output.part.write_bytes(b"new")
        path.write_bytes(b"other")


def test_the_result_appears_whole_with_usual_permissions(tmp_path: Path) -> None:
    out = tmp_path / "it's out.mp4"
    with OutputFile(out) as output:
        output.part.write_bytes(b"new")
        assert not out.exists()
        assert output.part.parent == tmp_path
    assert out.read_bytes() == b"new"
    assert os.listdir(tmp_path) == [out.name]


@pytest.mark.parametrize("error", [KeyboardInterrupt, InputError, RuntimeError])
def test_an_error_leaves_nothing_and_keeps_the_old_file(tmp_path: Path, error: type[BaseException]) -> None:
    out = tmp_path / "out.mp4"
    out.write_bytes(b"old")
    with pytest.raises(error):
        fail_half_way(out, error)
    assert out.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["out.mp4"]


def test_a_file_that_is_there_is_replaced_only_if_told(tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    out.write_bytes(b"old")
    with pytest.raises(InputError, match="--overwrite"):
        write(out)
    assert out.read_bytes() == b"old"
    write(out, overwrite=True)
    assert out.read_bytes() == b"new"


def test_a_file_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    with pytest.raises(InputError, match="appeared while"):
        write_while_another_does(out)
    assert out.read_bytes() == b"other"
    assert os.listdir(tmp_path) == ["out.mp4"]


def test_an_input_is_never_overwritten(tmp_path: Path) -> None:
    face = tmp_path / "face.mp4"
    face.write_bytes(b"face")
    link = tmp_path / "link.mp4"
    link.symlink_to(face)
    for out in (face, link, tmp_path / "x" / ".." / "face.mp4"):
        with pytest.raises(InputError, match="is one of the inputs"):
            write(out, overwrite=True, inputs=(face,))
    assert face.read_bytes() == b"face"


def test_a_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    target, link = tmp_path / "target.mp4", tmp_path / "link.mp4"
    target.write_bytes(b"old")
    link.symlink_to(target)
    write(link, overwrite=True)
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing/out.mp4", "folder .* is missing"),
        ("out.txt", "must end in .mp4"),
        ("out", "must end in .mp4"),
    ],
)
def test_names_that_cannot_be_written_are_refused(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        OutputFile(tmp_path / name)


def test_a_folder_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "out.mp4").mkdir()
    with pytest.raises(InputError, match="is not a file"):
        OutputFile(tmp_path / "out.mp4", overwrite=True)
