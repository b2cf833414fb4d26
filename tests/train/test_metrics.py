from __future__ import annotations

import json
import math
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from lipforge.kernels.errors import InputError
from lipforge.train.metrics import Estimate, estimate_correlation, estimate_mean, estimate_ratio
from lipforge.train.metrics_log import MetricsLog, read_metrics


def test_interval_of_a_mean_is_the_textbooks() -> None:
    values = torch.randn(400, generator=torch.Generator().manual_seed(0)) * 2.0 + 5.0
    found = estimate_mean(values)
    assert found == pytest.approx(float(values.mean()))
    half = 1.96 * float(values.std()) / math.sqrt(400)
    assert found.high - found == pytest.approx(half, rel=0.1)
    assert found - found.low == pytest.approx(half, rel=0.1)
    assert estimate_mean(values) == found  # seeded
    assert (estimate_mean(values).low, estimate_mean(values).high) == (found.low, found.high)


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    generator = torch.Generator().manual_seed(1)
    held = [e.low <= 0.0 <= e.high for e in (estimate_mean(torch.randn(50, generator=generator)) for _ in range(200))]
    assert 0.88 <= np.mean(held) <= 0.99


def test_samples_of_one_clip_count_as_one() -> None:
    """Ten copies of a sample tell nothing more than one of them."""
    values = torch.randn(30, generator=torch.Generator().manual_seed(2))
    once, copied = estimate_mean(values), estimate_mean(values.repeat_interleave(10), np.repeat(np.arange(30), 10))
    blind = estimate_mean(values.repeat_interleave(10))
    assert copied == pytest.approx(once)
    assert copied.high - copied.low == pytest.approx(once.high - once.low)
    assert blind.high - blind.low < 0.5 * (once.high - once.low)


def test_ratio_and_correlation() -> None:
    generator = torch.Generator().manual_seed(3)
    a = torch.randn(200, generator=generator)
    b = a + 0.5 * torch.randn(200, generator=generator)
    found = estimate_correlation(a + 1000.0, b - 1000.0)
    assert found == pytest.approx(np.corrcoef(a, b)[0, 1], abs=1e-4)
    assert 0.0 < found - found.low < 0.1
    assert estimate_correlation(torch.ones(5), torch.arange(5.0)) == 0.0
    ratio = estimate_ratio(torch.tensor([1.0, 3.0]), torch.tensor([2.0, 2.0]))
    assert (ratio, ratio.low, ratio.high) == (1.0, 0.5, 1.5)


def test_too_little_for_an_interval() -> None:
    for found in (estimate_mean(torch.ones(1)), estimate_mean(torch.ones(5), np.zeros(5, np.int64))):
        assert found == 1.0
        assert math.isnan(found.low)
        assert math.isnan(found.high)


def test_estimate_is_a_number_that_travels() -> None:
    found = pickle.loads(pickle.dumps(Estimate(1.5, 1.0, 2.0)))
    assert (found, found.low, found.high) == (1.5, 1.0, 2.0)
    assert json.dumps({"a": found}) == '{"a": 1.5}'


def test_log_drops_what_will_be_done_again(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path, 0)
    for step in (2, 4, 6):
        log.write(step, "train", {"loss": float(step), "bad": float("nan")})
    log.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "tr')  # killed while it wrote
    log = MetricsLog(tmp_path, 4)
    log.write(5, "validation", {"loss": 1.0})
    log.close()
    assert read_metrics(tmp_path, "train") == [(2, {"loss": 2.0, "bad": None}), (4, {"loss": 4.0, "bad": None})]
    assert read_metrics(tmp_path, "validation") == [(5, {"loss": 1.0})]
    (tmp_path / "metrics.jsonl").write_text("x\n")
    with pytest.raises(InputError, match=r"metrics\.jsonl: not readable"):
        read_metrics(tmp_path, "train")
