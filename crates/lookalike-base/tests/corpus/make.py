"""Writes the corpus of array files, good ones and those that lie: python3 make.py

The names say what is wrong. Those that begin with ok_ are read, all others are refused. tests/corpus.rs reads each of them and
thousands of variations; fuzz/ begins with them.
"""

import json
import pathlib
import struct

here = pathlib.Path(__file__).parent


def npy(name, header, data=b"", version=(1, 0), size=None):
    text = header if isinstance(header, bytes) else header.encode()
    size = len(text) if size is None else size
    length = struct.pack("<H" if version[0] == 1 else "<I", size)
    (here / f"{name}.npy").write_bytes(b"\x93NUMPY" + bytes(version) + length + text + data)


def header(descr="<f4", shape="(2, 3)", fortran="False"):
    return f"{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}"


floats = struct.pack("<6f", *range(6))
npy("ok_rows", header(), floats)
npy("ok_rows_version_3", header(), floats, version=(3, 0))
npy("ok_rows_padded", header().ljust(117) + "\n", floats)
npy("ok_rows_half", header("<f2"), struct.pack("<6e", *range(6)))
npy("ok_rows_none", header(shape="(0, 3)"))
npy("ok_rows_none_but_wide", header(shape="(0, 18446744073709551615)"))
npy("ok_rows_not_finite", header(), struct.pack("<6f", *[float("nan"), float("inf")] * 3))
npy("ok_integers", header("<i8", "(3,)"), struct.pack("<3q", 1, -2, 3))
npy("ok_integers_bool", header("|b1", "(2,)"), b"\x01\x00")
npy("ok_integers_scalar", header("<i4", "()"), struct.pack("<i", 7))
npy("empty_header", b"")
npy("version_9", header(), floats, version=(9, 0))
npy("header_longer_than_file", header(), floats, size=60000)
npy("header_of_4_gb", header(), floats, version=(2, 0), size=2**32 - 1)
npy("header_shorter_than_text", header(), floats, size=20)
npy("header_not_utf8", header().encode().replace(b"descr", b"des\xff\xfe"), floats)
npy("header_of_zeros", bytes(80), floats)
npy("header_in_utf8_with_other_digits", header(shape="(٢, ٣)"), floats, version=(3, 0))
npy("header_unclosed", header()[:-4], floats)
npy("header_quote_unclosed", "{'descr: <f4}", floats)
npy("header_without_shape", "{'descr': '<f4', 'fortran_order': False}", floats)
npy("header_deep", "(" * 5000, floats)
npy("header_code", "__import__('os').system('true')", floats)
npy("header_records", "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}", floats)
npy("shape_negative", header(shape="(-1, 3)"), floats)
npy("shape_fraction", header(shape="(2.0, 3)"), floats)
npy("shape_overflows", header(shape="(4294967296, 4294967296)"), floats)
npy("shape_overflows_bytes", header(shape="(4611686018427387904, 1)"), floats)
npy("shape_beyond_64_bits", header(shape="(18446744073709551616, 1)"), floats)
npy("shape_huge", header(shape="(1099511627776, 3)"), floats)
npy("shape_of_many_axes", header(shape="(" + "1, " * 5000 + ")"), floats)
npy("shape_without_columns", header(shape="(2, 0)"))
npy("data_cut", header(), floats[:-1])
npy("data_too_long", header(), floats + b"\x00")
npy("data_missing", header())
npy("fortran", header(fortran="True"), floats)
npy("big_endian", header(">f4"), floats)
npy("native_endian", header("=f4"), floats)
npy("ok_rows_double", header("<f8"), struct.pack("<6d", *range(6)))
npy("bfloat16_without_its_type", header("<V2"), floats[:12])
npy("complex", header("<c8"), floats * 2)
npy("pickled", header("|O"), b"\x80\x04N.")
npy("text", header("<U3"), floats * 3)
npy("descr_empty", header(""), floats)
npy("descr_only_order", header(">"), floats)
npy("descr_not_ascii", header(">é"), floats, version=(3, 0))
npy("integers_beyond_int64", header("<u8", "(1,)"), b"\xff" * 8)
(here / "magic_only.npy").write_bytes(b"\x93NUMPY")
(here / "nothing.npy").write_bytes(b"")
(here / "png.npy").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")


def tensors(name, contents, data=b"", size=None):
    text = contents if isinstance(contents, bytes) else json.dumps(contents).encode()
    size = len(text) if size is None else size
    (here / f"{name}.safetensors").write_bytes(struct.pack("<Q", size) + text + data)


def entry(dtype="F32", shape=(2, 3), offsets=(0, 24)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


most = 2**64 - 1
sixteenth = 2**60
tensors("ok_one", {"rows": entry()}, floats)
tensors("ok_metadata", {"__metadata__": {"format": "pt"}, "rows": entry()}, floats)
tensors("ok_two", {"a": entry(), "b": entry("U8", (3,), (24, 27))}, floats + b"abc")
tensors("ok_half", {"rows": entry("BF16", (2, 3), (0, 12))}, floats[:12])
tensors("ok_empty_tensor", {"rows": entry(), "none": entry("F32", (0, 9), (24, 24))}, floats)
tensors("ok_none", {})
tensors("ok_name_of_other_script", {"ряды": entry()}, floats)
tensors("checksum_wrong", {"__metadata__": {"checksum": "sha256:00"}, "rows": entry()}, floats)
tensors("header_longer_than_file", {"rows": entry()}, floats, size=10**6)
tensors("header_of_2_to_64", {"rows": entry()}, floats, size=most)
tensors("header_not_utf8", b'{"\xff\xfe":{}}', floats)
tensors("header_not_json", b"{rows}", floats)
tensors("header_deep", b"[" * 20000, floats)
tensors("header_deep_objects", b'{"a":' * 5000, floats)
tensors("header_of_zeros", bytes(64), floats)
tensors("header_list", b"[]", floats)
# As in the format's own reader the last one counts.
tensors("ok_duplicate_key", b'{"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"a":{"dtype":"U8","shape":[24],"data_offsets":[0,24]}}', floats)
tensors("dtype_unknown", {"rows": entry("F31")}, floats)
tensors("dtype_double", {"rows": entry("F64", (3,), (0, 24))}, floats)
tensors("dtype_of_4_bits", {"rows": entry("F4", (48,), (0, 24))}, floats)
tensors("dtype_of_4_bits_odd", {"rows": entry("F4", (3,), (0, 2))}, floats[:2])
tensors("shape_negative", {"rows": entry(shape=(-2, 3))}, floats)
tensors("shape_overflows", {"rows": entry(shape=(2**32, 2**32))}, floats)
tensors("shape_overflows_bits", {"rows": entry(shape=(2**61,))}, floats)
tensors("shape_fraction", {"rows": entry(shape=(2.5, 3))}, floats)
tensors("shape_other", {"rows": entry(shape=(2, 2))}, floats)
tensors("offsets_overlap", {"a": entry(), "b": entry(offsets=(12, 36))}, floats + floats[:12])
tensors("offsets_with_gap", {"a": entry(), "b": entry(offsets=(25, 49))}, floats * 2 + b"x")
tensors("offsets_backwards", {"rows": entry(offsets=(24, 0))}, floats)
tensors("offsets_beyond_file", {"rows": entry(shape=(2**40,), offsets=(0, 2**42))}, floats)
tensors("offsets_beyond_64_bits", {"rows": entry(offsets=(0, 2**64))}, floats)
tensors("offsets_three", {"rows": entry(offsets=(0, 12, 24))}, floats)
# Whole and without a gap, as far as the header goes: the end of the last one and the length of the header exceed 64 bits.
ends = [min(sixteenth * (at + 1), most) for at in range(16)]
starts = [0] + ends[:-1]
tensors(
    "offsets_up_to_2_to_64",
    {f"t{at}": entry("U8", (end - start,), (start, end)) for at, (start, end) in enumerate(zip(starts, ends))},
    floats,
)
tensors("data_cut", {"rows": entry()}, floats[:-1])
tensors("data_too_long", {"rows": entry()}, floats + b"\x00")
(here / "length_cut.safetensors").write_bytes(b"\x10\0\0")
(here / "nothing.safetensors").write_bytes(b"")
