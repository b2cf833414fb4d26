from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lipforge.kernels.errors import ConfigError, InputError
from lipforge.kernels.spec import AudioWindowSpec, CropSpec, FaceBoxSpec, LipSpec, MelChunkSpec, MelSpec, WarpSpec
from lipforge.runtime.manifest import GraphEntry, Manifest, ParityEntry, TensorEntry, sha256_of


def make_graph(file: str = "warp.onnx", sha256: str = "0" * 64) -> GraphEntry:
    return GraphEntry(
        file=file,
        sha256=sha256,
        opset=17,
        inputs=(TensorEntry("x", "uint8", ("B", 96, 96, 3)),),
        outputs=(TensorEntry("y", "float32", ("B", 2, 96, 96)),),
        ops={"Conv": 3},
        parity=ParityEntry(max_abs={"y": 0.0}, tolerance={"y": 1e-3}),
    )


def make_manifest(**changes: Any) -> Manifest:
    values = {
        "name": "test",
        "generator": "warp",
        "fps": 25.0,
        "specs": {
            "mel": MelSpec(),
            "window": AudioWindowSpec(past_columns=20),
            "crop": CropSpec(),
            "lips": LipSpec(),
            "warp": WarpSpec(border_px=4.0),
        },
        "graphs": {"audio2lips": make_graph("audio2lips.onnx"), "warp": make_graph()},
        "source": {"tools": {"lipforge": "0.1.0"}},
    }
    return Manifest(**(values | changes))


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    manifest = make_manifest()
    path = manifest.write(tmp_path)
    assert Manifest.read(tmp_path) == manifest
    assert Manifest.read(path) == manifest
    first = path.read_bytes()
    Manifest.read(path).write(tmp_path)
    assert path.read_bytes() == first


def test_a_bundle_from_before_there_was_a_factor_has_the_factor_one(tmp_path: Path) -> None:
    values = json.loads(make_manifest().write(tmp_path).read_text())
    del values["warp"]["factor"]
    assert Manifest.from_dict(values) == make_manifest()
    finer = make_manifest(specs={**make_manifest().specs, "warp": WarpSpec(factor=2)})
    finer.write(tmp_path)
    assert Manifest.read(tmp_path).warp.factor == 2


def test_keys_of_later_versions_are_ignored(tmp_path: Path) -> None:
    values = json.loads(make_manifest().write(tmp_path).read_text()) | {"note": "new"}
    assert Manifest.from_dict(values) == make_manifest()


def _set(*keys: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(values: dict[str, Any]) -> None:
        for key in keys[:-1]:
            values = values[key]
        values[keys[-1]] = value

    return change


def _drop(*keys: str) -> Callable[[dict[str, Any]], None]:
    def change(values: dict[str, Any]) -> None:
        for key in keys[:-1]:
            values = values[key]
        del values[keys[-1]]

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("schema", value=2), "schema is 2, this version of lipforge reads 1"),
        (_set("schema", value=True), "schema is True"),
        (_set("kind", value="lipforge-dataset"), "kind is 'lipforge-dataset'"),
        (_set("generator", value="dream"), "generator is 'dream'; this version knows warp, inpaint, none"),
        (_drop("fps"), "'fps' is missing"),
        (_set("fps", value="25"), "fps must be a number"),
        (_set("fps", value=0), "fps must be a number above 0"),
        (_set("name", value=""), "name must be a text"),
        (_set("mel", value=[1]), "mel: must be a JSON object"),
        (_set("mel", "hop_samples", value=200.5), "mel: hop_samples must be a value like 200"),
        (_set("crop", "template", value=[[1.0, "2"]]), "crop: template must be"),
        (_drop("warp", "border_px"), "missing keys \\['border_px'\\]"),
        (_set("warp", "factor", value=0), "factor must be a whole number of at least 1, not 0"),
        (_set("warp", "factor", value=1.5), "factor must be a whole number of at least 1, not 1.5"),
        (_set("lips", "teeth", value=1), "unknown keys \\['teeth'\\]"),
        (_drop("graphs", "warp"), "graphs: a bundle of generator 'warp' needs \\['warp'\\]"),
        (_set("lookahead_ms", value=80.0), "lookahead_ms: 80.0 contradicts mel and window"),
        (_set("graphs", "warp", "file", value="../warp.onnx"), "not a plain file name"),
        (_set("graphs", "warp", "opset", value="17"), "graphs: warp: opset must be a whole number"),
        (_set("graphs", "warp", "inputs", value=[]), "graphs: warp: inputs must be a list"),
        (
            _set("graphs", "warp", "inputs", value=[{"name": "x", "dtype": "uint8", "shape": ["B", -1]}]),
            "a list of sizes",
        ),
        (_drop("graphs", "warp", "parity", "tolerance"), "graphs: warp: parity: the key 'tolerance' is missing"),
    ],
)
def test_a_bad_value_is_named(tmp_path: Path, change: Callable[[dict[str, Any]], None], message: str) -> None:
    values = json.loads(make_manifest().write(tmp_path).read_text())
    change(values)
    (tmp_path / "manifest.json").write_text(json.dumps(values))
    with pytest.raises(ConfigError, match=message) as caught:
        Manifest.read(tmp_path)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_files_that_are_no_manifest_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a bundle"):
        Manifest.read(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        Manifest.read(tmp_path)
    (tmp_path / "manifest.json").write_text("[]")
    with pytest.raises(ConfigError, match="JSON object"):
        Manifest.read(tmp_path)


def test_what_lacks_something_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"graphs: a bundle of generator 'warp' needs \['audio2lips', 'warp'\]"):
        make_manifest(graphs={}).write(tmp_path)
    with pytest.raises(ConfigError, match=r"specs: a bundle of generator 'inpaint' needs \['mel_chunk'\]"):
        make_manifest(generator="inpaint", graphs={"wav2lip": make_graph()}).write(tmp_path)
    assert not list(tmp_path.iterdir())


def make_inpaint(**changes: Any) -> Manifest:
    specs = {"mel": MelSpec(), "mel_chunk": MelChunkSpec(), "crop": CropSpec(), "lips": LipSpec()}
    specs |= {"face_box": FaceBoxSpec()}
    return make_manifest(generator="inpaint", specs=specs | changes, graphs={"wav2lip": make_graph("wav2lip.onnx")})


def test_an_inpaint_manifest_is_read_back(tmp_path: Path) -> None:
    for manifest in (make_inpaint(), make_inpaint(mel_chunk=MelChunkSpec(offset_frames=-1))):
        manifest.write(tmp_path)
        assert Manifest.read(tmp_path) == manifest
    values = json.loads((tmp_path / "manifest.json").read_text())
    assert values["face_box"]["pads_px"] == [0, 10, 0, 0]
    assert values["mel_chunk"] == {"columns": 16, "offset_frames": -1}
    assert "window" not in values
    assert "warp" not in values


@pytest.mark.parametrize(
    ("offset_frames", "fps", "lookahead_ms"), [(0, 25.0, 212.5), (-1, 25.0, 172.5), (-1, 50.0, 192.5)]
)
def test_look_ahead_follows_from_the_mel_chunk(offset_frames: int, fps: float, lookahead_ms: float) -> None:
    """15 columns of 12.5 ms and half an FFT window of 50 ms, from where the window starts."""
    manifest = replace(make_inpaint(mel_chunk=MelChunkSpec(offset_frames=offset_frames)), fps=fps)
    assert manifest.lookahead_ms == lookahead_ms
    assert manifest.window.columns == 16


def test_a_bundle_of_judges_has_what_it_has(tmp_path: Path) -> None:
    for specs in ({}, {"mel": MelSpec(), "mel_chunk": MelChunkSpec()}):
        manifest = make_manifest(generator="none", specs=specs, graphs={"judge": make_graph()})
        manifest.write(tmp_path)
        assert Manifest.read(tmp_path) == manifest
        assert manifest.lookahead_ms == 0.0
    with pytest.raises(ConfigError, match=r"bundle test: has no 'crop'; .* Use one whose generator is warp or inpaint"):
        _ = manifest.crop


def test_a_face_box_that_is_none_is_named(tmp_path: Path) -> None:
    values = json.loads(make_inpaint().write(tmp_path).read_text())
    values["face_box"]["pads_px"] = [0, 1.5]
    with pytest.raises(ConfigError, match="face_box: pads_px must be a value like"):
        Manifest.from_dict(values)


def test_a_graph_is_located_only_with_its_own_content(tmp_path: Path) -> None:
    file = tmp_path / "warp.onnx"
    file.write_bytes(b"graph")
    entry = make_graph(sha256=sha256_of(file))
    assert entry.locate(tmp_path) == file
    file.write_bytes(b"grapH")
    with pytest.raises(InputError, match=r"warp\.onnx: the content is not what was exported"):
        entry.locate(tmp_path)
    file.unlink()
    with pytest.raises(InputError, match="the bundle's graph is missing"):
        entry.locate(tmp_path)
