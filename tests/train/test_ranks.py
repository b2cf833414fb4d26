"""One process's part in it; two connected ones are in ``test_forked_runs.py``."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from lipforge.kernels.errors import BackendError, ConfigError
from lipforge.train import ranks as ranks_module
from lipforge.train.cli import train
from lipforge.train.ranks import ALONE, Ranks, joined, ranks_of_this_process

TRAIN = Path(sys.modules["lipforge.train"].__path__[0])
ENVIRONMENT = ("RANK", "WORLD_SIZE", "LOCAL_RANK")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_alone_without_torchrun(environment: pytest.MonkeyPatch) -> None:
    assert ranks_of_this_process() == ALONE
    environment.setenv("WORLD_SIZE", "8")  # some schedulers set it for purposes of their own
    assert ranks_of_this_process() == ALONE


def test_place_comes_from_torchrun(environment: pytest.MonkeyPatch) -> None:
    for name, value in zip(ENVIRONMENT, ("3", "8", "1"), strict=True):
        environment.setenv(name, value)
    assert ranks_of_this_process() == Ranks(3, 8, 1)
    environment.setenv("LOCAL_RANK", "")
    with pytest.raises(ConfigError, match="not what torchrun sets"):
        ranks_of_this_process()


def test_alone_everything_is_a_matter_of_course() -> None:
    loss = torch.tensor(3.0)
    assert ALONE.average_gradients(torch.nn.Linear(2, 2), loss) is loss
    assert (ALONE.gather(1), ALONE.from_first("x"), ALONE.highest([1.0])) == ([1], "x", [1.0])
    assert ALONE.mean(torch.ones(2)).tolist() == [1.0, 1.0]
    assert ALONE.rows(5) == slice(0, 5)
    with joined(ALONE, torch.device("cpu")):
        assert not torch.distributed.is_initialized()


def test_rows_are_all_of_the_batch() -> None:
    rows = [row for rank in range(4) for row in range(12)[Ranks(rank, 4).rows(12)]]
    assert rows == list(range(12))


def test_messages_are_of_one_kind_and_not_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks_module, "BUCKET_BYTES", 40)
    tensors = [torch.zeros(4), torch.zeros(6), torch.zeros(1), torch.zeros(3, dtype=torch.float16), torch.zeros(99)]
    buckets = list(ranks_module._buckets(tensors))
    assert [[len(tensor) for tensor in bucket] for bucket in buckets] == [[4, 6], [1], [3], [99]]


def test_a_backend_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setattr(torch.distributed.Backend, "default_device_backend_map", {})
    with (
        pytest.raises(BackendError, match="2 ranks on cpu cannot be connected"),
        joined(Ranks(0, 2), torch.device("cpu")),
    ):
        pass


def test_a_numbered_device_is_not_for_several_ranks(
    environment: pytest.MonkeyPatch, data_root: Path, tmp_path: Path
) -> None:
    for name, value in zip(ENVIRONMENT, ("0", "2", "0"), strict=True):
        environment.setenv(name, value)
    words = ["warp", "--data", str(data_root), "--out", str(tmp_path), "--device", "cuda:1"]
    with pytest.raises(ConfigError, match="of 2 ranks each takes its own"):
        CliRunner().invoke(train, words, catch_exceptions=False)
    environment.setenv("RANK", "1")
    result = CliRunner().invoke(train, words, catch_exceptions=False)  # rank 0 has said it
    assert (result.exit_code, result.output) == (2, "")


def names_and_texts(path: Path) -> Iterator[tuple[str, str]]:
    """Every name, attribute and string of a module that is no docstring or comment."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    statements = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield "name", node.attr
        elif isinstance(node, ast.Name | ast.alias):
            yield "name", node.id if isinstance(node, ast.Name) else node.name
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in statements:
            yield "text", node.value


def forbidden(path: Path) -> list[str]:
    """What binds code to one kind of accelerator."""
    found = []
    for kind, value in names_and_texts(path):
        is_name = value in ("cuda", "npu", "torch_npu") or "DataParallel" in value
        is_text = value.partition(":")[0] in ("cuda", "npu") or value in ("nccl", "hccl")
        if is_name if kind == "name" else is_text:
            found.append(value)
    return found


def test_only_the_device_module_knows_accelerators() -> None:
    wrong = {
        str(path.relative_to(TRAIN)): names
        for path in sorted(TRAIN.rglob("*.py"))
        if path.name != "device.py" and (names := forbidden(path))
    }
    assert wrong == {}
    assert not {"nccl", "hccl", "DataParallel"} & set(forbidden(TRAIN / "device.py"))


def test_the_scan_sees_what_it_looks_for(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text('"""cuda"""\nx.cuda()\ny.to("cuda:1")\nz = nn.DataParallel(x)\ninit(backend="nccl")\n')
    assert sorted(forbidden(path)) == ["DataParallel", "cuda", "cuda:1", "nccl"]
