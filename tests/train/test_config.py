from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path

import pytest

from lipforge.kernels.errors import ConfigError
from lipforge.train.config import Audio2LipsConfig, WarpConfig, as_plain, load_config
from lipforge.train.wav2lip_config import SyncNetConfig, Wav2LipConfig, Wav2LipGanConfig

SHIPPED = sorted(Path(str(resources.files("lipforge.train") / "configs")).glob("*.yaml"))


KINDS = {
    "warp": WarpConfig,
    "audio2lips": Audio2LipsConfig,
    "syncnet": SyncNetConfig,
    "wav2lip": Wav2LipConfig,
    "wav2lip-gan": Wav2LipGanConfig,
}


def command_of(file: Path) -> str:
    return re.sub("-(tiny|student|narrow|tune)$", "", file.stem)


def kind_of(file: Path) -> type:
    return KINDS[command_of(file)]


def test_configs_are_shipped() -> None:
    assert {file.stem for file in SHIPPED} >= {"warp", "warp-tiny", "audio2lips", "audio2lips-tiny"}


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_shipped_config_loads_and_says_its_command(file: Path) -> None:
    first = file.read_text().splitlines()[0]
    assert first.startswith(f"# lipforge train {command_of(file)} ")
    assert first.endswith(f"--config train/configs/{file.name}")
    load_config(kind_of(file), file=file)


def test_full_yaml_spells_out_the_defaults() -> None:
    for file in SHIPPED:
        if command_of(file) == file.stem:
            assert load_config(kind_of(file), file=file) == kind_of(file)()


def test_layers_override_in_order(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("loop: {steps: 7, seed: 3}\nmodel: {encoder: [8, 8, 8, 8]}\n")
    config = load_config(
        WarpConfig,
        stored={"loop": {"steps": 5, "batch_size": 2}},
        file=file,
        overrides=["loop.seed=4", "loss.flow=0.5"],
    )
    assert (config.loop.steps, config.loop.batch_size, config.loop.seed, config.loss.flow) == (7, 2, 4, 0.5)
    assert config.model.encoder == (8, 8, 8, 8)


def test_plain_form_survives_json() -> None:
    config = load_config(Audio2LipsConfig, overrides=["data.augment.snr_db=[1,2]"])
    assert load_config(Audio2LipsConfig, stored=json.loads(json.dumps(as_plain(config)))) == config


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("loop.stepz=3", "did you mean loop.steps"),
        ("lop.steps=3", "did you mean loop"),
        ("data.augment.gama=1", "did you mean data.augment.gamma"),
        ("loop.steps=many", "loop.steps"),
        ("loop=3", "configuration"),
        ("steps", "key=value"),
    ],
)
def test_bad_setting_is_named(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(WarpConfig, overrides=[override])


@pytest.mark.parametrize("text", ["- a\n- b\n", "loop: [", "\x00\x01"])
def test_bad_file_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"bad\.yaml"):
        load_config(WarpConfig, file=file)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.yaml"):
        load_config(WarpConfig, file=tmp_path / "gone.yaml")


@pytest.mark.parametrize(
    "override", ["loop.steps=0", "loop.batch_size=0", "loop.autocast=fp8", "loop.learning_rate=-1"]
)
def test_senseless_value_is_refused(override: str) -> None:
    with pytest.raises(ConfigError, match=override.split("=")[0].split(".")[1]):
        load_config(WarpConfig, overrides=[override])
