import signal
from types import SimpleNamespace

import pytest
import torch
from accelerate.state import PartialState
from accelerate.utils import DistributedType

from tavid_core.errors import ConfigError
from training.engine import Engine, split_batch
from training.stop_signal import StopSignal


def test_a_batch_is_divided_without_gaps():
    shares = [split_batch(12, 2, rank, 3) for rank in range(2)]
    assert [list(part) for part in shares[0]] == [[0, 1, 2], [3, 4, 5]]
    assert [list(part) for part in shares[1]] == [[6, 7, 8], [9, 10, 11]]
    assert split_batch(4, 1, 0, None) == [range(4)]


@pytest.mark.parametrize(("size", "processes", "micro"), [(4, 3, None), (4, 1, 3), (1, 2, None)])
def test_a_batch_that_cannot_be_divided_is_refused(size, processes, micro):
    with pytest.raises(ConfigError, match="batch_size must be a multiple of processes x micro"):
        split_batch(size, processes, 0, micro)


def test_the_first_signal_is_remembered_and_the_second_is_as_before():
    before = signal.getsignal(signal.SIGINT)
    with StopSignal() as stop:
        assert not stop.is_set()
        signal.raise_signal(signal.SIGINT)
        assert stop.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_deepspeed_is_refused_whether_it_is_installed_or_not(monkeypatch):
    """As `accelerate launch --use_deepspeed` says it; accelerate would ask for the library."""
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    with pytest.raises(ConfigError, match=r"got DEEPSPEED.*FSDP spreads the weights"):
        Engine.start(torch.device("cpu"))
    launched = SimpleNamespace(distributed_type=DistributedType.DEEPSPEED)
    with pytest.raises(ConfigError, match="distributed_type must be one of NO, MULTI_CPU"):
        Engine(launched, torch.device("cpu"))


def test_a_run_on_a_gpu_does_not_keep_the_next_one_from_the_cpu(monkeypatch):
    Engine.start(torch.device("cpu")).close()
    # What accelerate remembers after a run on a card; there is none here.
    monkeypatch.setitem(PartialState._shared_state, "device", torch.device("cuda"))
    engine = Engine.start(torch.device("cpu"))
    assert engine.device == torch.device("cpu")
    engine.close()
