"""What a killed process leaves is undone; ``test_forked_runs.py`` kills whole runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from lipforge.train.atomic_folder import clear_leftovers, new_folder, remove_folder, replace_text


def tree(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): path.read_text() for path in sorted(root.rglob("*")) if path.is_file()}


def write(final: Path, text: str) -> None:
    with new_folder(final) as folder:
        (folder / "a").write_text(text)


def test_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    write(tmp_path / "step-1", "old")
    with pytest.raises(TypeError, match="must be str"):
        write(tmp_path / "step-1", None)  # type: ignore[arg-type]
    assert tree(tmp_path) == {"step-1/a": "old"}
    write(tmp_path / "step-1", "new")
    assert tree(tmp_path) == {"step-1/a": "new"}


def test_folder_comes_back_if_it_was_to_be_replaced(tmp_path: Path) -> None:
    for name, text in ((".step-1.77.old", "old"), (".step-1.77.part", "new")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_text(text)
    clear_leftovers(tmp_path, "step-*")
    assert tree(tmp_path) == {"step-1/a": "old"}


def test_folder_that_was_being_deleted_goes(tmp_path: Path) -> None:
    for name in (".step-1.77.old", ".step-2.5.old", "step-2", "step-3", "notes"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_text(name)
    (tmp_path / ".last.json.77.part").write_text("{")
    (tmp_path / ".hidden.part").write_text("not ours")
    clear_leftovers(tmp_path, "step-*")
    clear_leftovers(tmp_path, "last.json")
    assert set(tree(tmp_path)) == {"step-2/a", "step-3/a", "notes/a", ".hidden.part"}
    remove_folder(tmp_path / "step-2")
    assert set(tree(tmp_path)) == {"step-3/a", "notes/a", ".hidden.part"}


def test_text_is_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "last.json"
    replace_text(path, "one")

    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        replace_text(path, "two")
    assert tree(tmp_path) == {"last.json": "one"}
