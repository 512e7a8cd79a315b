"""Reading foreign weights runs no code and never fails untyped; hashing sees names and contents."""

from __future__ import annotations

import pickle

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tavid_core.errors import WeightsError
from tavid_core.weights_file import hash_folder, read_tensors


class Exploit:
    """Would make a file if unpickled as code."""

    def __init__(self, path) -> None:
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_pickle_with_code_is_refused_and_not_run(tmp_path):
    path, trace = tmp_path / "patch.pth", tmp_path / "trace"
    path.write_bytes(pickle.dumps(Exploit(trace)))
    with pytest.raises(WeightsError, match=r"patch\.pth must hold tensors only"):
        read_tensors(path)
    torch.save({"weight": Exploit(trace)}, path)
    with pytest.raises(WeightsError, match=r"patch\.pth must hold tensors only"):
        read_tensors(path)
    assert not trace.exists()
    torch.save({"weight": 3}, path)
    with pytest.raises(WeightsError, match="must hold a dictionary of tensors"):
        read_tensors(path)


FUZZ = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@FUZZ
@given(position=st.floats(0, 1), value=st.integers(0, 255), cut=st.floats(0.1, 1))
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_damaged_bytes_give_tensors_or_a_weights_error(tmp_path, suffix, position, value, cut):
    path = tmp_path / f"weights{suffix}"
    tensors = {"weight": torch.ones(2, 3), "bias": torch.ones(2)}
    (torch.save if suffix == ".pth" else safetensors.torch.save_file)(tensors, path)
    content = bytearray(path.read_bytes())
    content[int(position * (len(content) - 1))] = value
    path.write_bytes(content[: int(cut * len(content))])
    message = ""
    try:
        assert all(isinstance(t, torch.Tensor) for t in read_tensors(path).values())
    except WeightsError as error:
        message = str(error)
    assert not message or path.name in message


def test_hash_depends_on_names_and_contents_only(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub" / "x.json").write_text("1")
    (tmp_path / "b" / ".cache").mkdir()
    (tmp_path / "b" / ".cache" / "y").write_text("2")
    assert hash_folder(tmp_path / "a") == hash_folder(tmp_path / "b")
    (tmp_path / "b" / "sub" / "x.json").write_text("2")
    assert hash_folder(tmp_path / "a") != hash_folder(tmp_path / "b")
    (tmp_path / "b" / "sub" / "x.json").rename(tmp_path / "b" / "sub" / "z.json")
    assert len(hash_folder(tmp_path / "b")) == 64


def test_hashing_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="must be a folder"):
        hash_folder(tmp_path / "nowhere")
