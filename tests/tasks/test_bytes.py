"""The next byte of a file."""

import dataclasses
import hashlib
import math
from pathlib import Path

import pytest
import torch
from support import shapes

from resformer import config
from resformer.errors import Incompatible, UserError
from resformer.numerics import rng
from resformer.plan import jobs
from resformer.tasks import bytes as module
from resformer.tasks.bytes import Bytes

CONTENT = bytes(range(200)) * 5
"""Bytes that say where they stand, in each fifth."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "text"
    path.write_bytes(CONTENT)
    return path


def task(file: Path | None, length: int = 8, sha256: str | None = None) -> Bytes:
    return Bytes(file=None if file is None else str(file), length=length, sha256=sha256).resolved()


def test_a_window_goes_on_with_its_targets(file: Path) -> None:
    one = task(file)
    for source, target in (
        one.draw(rng.key(torch.tensor([1, 2]), "test"), 50),
        one.draw_held_out(rng.key(torch.tensor([1, 2]), "test"), 50),
    ):
        assert source.shape == target.shape == (2, 50, 8)
        for window, last in zip(
            source.flatten(0, 1).tolist(), target.flatten(0, 1)[:, -1].tolist(), strict=True
        ):
            assert bytes([*window, last]) in CONTENT
        assert torch.equal(source[..., 1:], target[..., :-1])


def test_the_last_tenth_is_held_out_and_the_rest_is_trained_on(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"a" * 900 + b"b" * 100)
    one, key = task(path), rng.key(torch.tensor([1]), "test")
    assert (one.num_inputs, one.num_held_out) == (900 - 8 + 100 - 8, 92)
    trained, held_out = one.draw(key, 5000), one.draw_held_out(key, 92)
    assert all(bool((part == ord("a")).all()) for part in trained)
    assert all(bool((part == ord("b")).all()) for part in held_out)


def test_held_out_windows_are_spread_evenly_and_every_first_byte_is_drawn(file: Path) -> None:
    one, key = task(file), rng.key(torch.tensor([1]), "test")
    firsts = one.draw_held_out(key, 23)[0][0, :, 0]
    assert (firsts.diff() == 4).all()  # 92 windows
    # 892 windows, each missing from 20,000 draws with a probability of e^-22.
    assert len(one.draw(key, 20_000)[0][0].unique(dim=0)) == 200


def test_blind_loss_is_the_entropy_of_bytes(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"aaab" * 100)
    assert task(path).blind_loss() == pytest.approx(
        -0.75 * math.log(0.75) - 0.25 * math.log(0.25), rel=1e-12
    )


def test_the_content_is_part_of_a_job(file: Path) -> None:
    words = ["device=cpu", "train.compile=false", "task=bytes", f"task.file={file}"]
    words += ["task.length=8", "train.eval_sequences=16"]
    ((before, members),) = config.request("new", words).shapes
    job = jobs.Job(shape=before, members=tuple(members))
    planned = job.to_json()
    assert planned["shape"]["task"]["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert jobs.from_json(planned).id == job.id
    file.write_bytes(CONTENT[::-1])
    module._content.cache_clear()  # as in another process
    with pytest.raises(UserError, match=f"task.file={file}: has other content than planned"):
        jobs.from_json(planned)
    ((after, _),) = config.request("new", words).shapes
    assert jobs.Job(shape=after, members=tuple(members)).id != job.id


def test_a_path_is_absolute_wherever_workers_are(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent)
    assert task(Path("text")) == task(file)


def test_without_a_file_it_is_the_source_of_python() -> None:
    one = task(None, length=64)
    assert one.file is None
    assert module._library().startswith(Path(module.os.__file__).with_name("abc.py").read_bytes())
    assert len(module._library()) == 2**20
    assert one == dataclasses.replace(one, sha256=None).resolved()


def test_there_is_nothing_to_solve() -> None:
    words = ["device=cpu", "train.compile=false", "task=bytes"]
    ((shape, _),) = config.request("new", words).shapes
    assert not shape.train.has_target
    assert not shape.train.stop_when_solved


def test_both_attentions_but_one_would_see_the_target(file: Path) -> None:
    with pytest.raises(Incompatible, match=r"attention=bidirectional: .*=bytes; causal would work"):
        shapes.shape(task=task(file), attention="bidirectional")


def test_what_is_no_content_is_refused(file: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere: cannot be read: No such file"):
        task(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"cannot be read: Is a directory"):
        task(tmp_path)
    with pytest.raises(UserError, match=r"has 1,000 bytes; must have from 1,012, for a window of"):
        task(file, length=100)
    with pytest.raises(UserError, match=r"not task\.sha256=0123…"):
        task(file, sha256="0123")
