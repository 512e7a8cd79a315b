"""Arrays come out of pickles of every protocol; nothing is ever run, whatever the file says."""

import contextlib
import io
import pickle
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from tavid_core.errors import InputError
from training.sources.array_pickle import parse_array_pickle, read_array_pickle

PROTOCOLS = range(6)


def same(read, written):
    if isinstance(written, np.ndarray | np.generic):
        assert read.dtype == written.dtype
        np.testing.assert_array_equal(read, written)
    elif isinstance(written, dict):
        assert list(read) == list(written)
        for key in written:
            same(read[key], written[key])
    elif isinstance(written, list | tuple):
        assert type(read) is type(written)
        for one, other in zip(read, written, strict=True):
            same(one, other)
    else:
        assert read == written


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_fits_of_behave(protocol, tmp_path):
    generator = np.random.default_rng(0)
    written = {
        "pose": generator.normal(size=156),
        "betas": generator.normal(size=(1, 10)).astype(np.float32),
        "trans": np.asfortranarray(generator.normal(size=(3, 4))),
        "rotations": np.zeros((0, 3, 3)),
        "mask": np.array([True, False]),
        "big_endian": np.arange(3, dtype=">i4"),
        "names": np.array(["mug", "box"]),
        "score": np.float64(0.5),
        "count": np.int64(7),
        "gender": "male",
        "frames": ["t0003.000", None, True, 3, -(2**70), 1.5, b"raw"],
        "nested": {"a": ((1, 2, 3, 4), (), [], {})},
    }
    path = tmp_path / "fit.pkl"
    path.write_bytes(pickle.dumps(written, protocol=protocol))
    same(read_array_pickle(path), written)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@given(
    written=st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False)
        | st.text()
        | st.binary()
        | st_numpy.arrays(
            st_numpy.scalar_dtypes().filter(
                lambda dtype: dtype.kind in "biufc" and dtype.char != "g" and dtype.char != "G"
            ),
            st_numpy.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
            elements={"allow_nan": False},
        ),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=8,
    )
)
def test_what_is_written_comes_back(written, protocol):
    same(parse_array_pickle(pickle.dumps(written, protocol=protocol)), written)


def test_shared_parts_and_objects():
    part = np.arange(4.0)
    read = parse_array_pickle(pickle.dumps([part, part, {"again": part}]))
    same(read, [part, part, {"again": part}])
    objects = np.array([{"a": np.ones(2)}, "text"], dtype=object)
    same(parse_array_pickle(pickle.dumps(objects)), [{"a": np.ones(2)}, "text"])


def test_pickles_of_python_2():
    raw = np.arange(3, dtype="<f8").tobytes()
    text = b"\x80\x02}U\x05angleq\x01cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
    text += b"K\x00\x85U\x01b\x87R(K\x01K\x03\x85cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R"
    text += b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U" + bytes([len(raw)])
    text += raw + b"tbs."
    same(parse_array_pickle(text), {"angle": np.arange(3.0)})


class Calls:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


class Plain:
    pass


def touch(path):
    path.write_text("it ran")


HOSTILE = {
    "system": b"cos\nsystem\n(S'touch ran'\ntR.",
    "builtin": b"cbuiltins\neval\n(S'1'\ntR.",
    "old builtin": b"c__builtin__\neval\n(S'1'\ntR.",
    "stack global": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x01x\x85R.",
    "attribute of a module": b"\x80\x04\x8c\x05numpy\x8c\x10core.os.system_\x93.",
    "numpy load": b"cnumpy\nload\n(S'x'\ntR.",
    "numpy memmap": b"cnumpy\nmemmap\n(S'x'\ntR.",
    "instance": b"(S'x'\nios\nsystem\n.",
    "object": b"(cos\nsystem\nS'x'\no.",
    "new object": b"\x80\x02cnumpy\nndarray\nK\x05\x85\x81.",
    "persistent": b"Psomething\n.",
    "extension": b"\x80\x02\x82\x01.",
    "array called": b"cnumpy\nndarray\n(K\x05tR.",
    "dtype with fields": b"cnumpy\ndtype\n(S'V8'\ntR.",
    "name as data": b"cnumpy\nndarray\n.",
    "unknown dtype": b"cnumpy\ndtype\n(S'M8[ns]'\ntR.",
    "huge memo": b"\x80\x02]r\xff\xff\xff\x7f.",
    "huge bytes": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 60) + b"x.",
    "huge long": b"\x80\x02\x8b" + struct.pack("<i", 0x7FFFFFFF) + b"x.",
    "endless digits": b"L" + b"9" * 100_000 + b"L\n.",
    "no mark": b"t.",
    "empty stack": b"R.",
    "mark as value": b"(.",
    "two values": b"K\x01K\x02.",
    "no stop": b"K\x01",
    "nothing": b"",
    "list as key": b"}]K\x01s.",
    "tuple as key": b"})K\x01s.",
    "append to a dictionary": b"}K\x01a.",
}


@pytest.mark.parametrize("name", [name for name in HOSTILE if name != "huge memo"])
def test_hostile_pickles_are_refused(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="must be a pickle of arrays and plain containers, got"):
        parse_array_pickle(HOSTILE[name])
    assert list(tmp_path.iterdir()) == []


def test_a_huge_memo_index_costs_nothing():
    assert parse_array_pickle(HOSTILE["huge memo"]) == []


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_functions_are_not_called(protocol, tmp_path):
    for function, arguments in (
        (touch, (tmp_path / "ran",)),
        (exec, (f"open({str(tmp_path / 'ran')!r}, 'w')",)),
        (getattr, ("text", "upper")),
        (bytearray, (10,)),
        (io.open, (str(tmp_path / "ran"), "w")),
    ):
        data = pickle.dumps({"pose": Calls(function, *arguments)}, protocol=protocol)
        with pytest.raises(InputError, match=r"got the (name|opcode)"):
            parse_array_pickle(data)
    with pytest.raises(InputError, match=r"got the (name|opcode)"):
        parse_array_pickle(pickle.dumps(Plain(), protocol=protocol))
    assert not (tmp_path / "ran").exists()


def test_arrays_that_lie_are_refused():
    """NumPy would take a shape or flags on trust; here the bytes must fill the shape."""
    good = pickle.dumps(np.arange(4, dtype="<i8"), protocol=2)
    assert parse_array_pickle(good).tolist() == [0, 1, 2, 3]
    for old, new in ((b"K\x04\x85", b"K\x05\x85"), (b"i8", b"i4"), (b"i8", b"O8")):
        assert old in good
        with pytest.raises(InputError, match="array"):
            parse_array_pickle(good.replace(old, new))


def test_structured_arrays_are_refused():
    array = np.zeros(2, dtype=[("a", "f8"), ("b", "O")])
    with pytest.raises(InputError, match="dtype"):
        parse_array_pickle(pickle.dumps(array))


def test_deep_and_self_containing_lists_are_refused():
    deep: list = []
    for _ in range(100):
        deep = [deep]
    with pytest.raises(InputError, match="deep"):
        parse_array_pickle(pickle.dumps(deep))
    loop: list = []
    loop.append(loop)
    with pytest.raises(InputError, match="deep"):
        parse_array_pickle(pickle.dumps(loop))


def test_doubling_lists_stay_small():
    """Each level holds the one below twice: 2**30 parts if they were copied."""
    level: list = []
    for _ in range(30):
        level = [level, level]
    read = parse_array_pickle(pickle.dumps(level))
    assert read[0] is read[1]


@given(data=st.binary(max_size=200))
def test_any_bytes_are_data_or_refused(data):
    with contextlib.suppress(InputError):
        parse_array_pickle(data)


@given(place=st.integers(0, 10_000), value=st.integers(0, 255), protocol=st.sampled_from(PROTOCOLS))
def test_damaged_pickles_are_data_or_refused(place, value, protocol):
    data = bytearray(pickle.dumps({"pose": np.arange(5.0), "gender": "male"}, protocol=protocol))
    data[place % len(data)] = value
    with contextlib.suppress(InputError):
        parse_array_pickle(bytes(data))


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"none\.pkl must be a readable file"):
        read_array_pickle(tmp_path / "none.pkl")
