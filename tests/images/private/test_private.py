"""Of private elements only numbers stay that an image cannot do without; it converts as before."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import nibabel
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medgrid.images.private import SAFE_PRIVATE
from medgrid.images.private.values import Codes, Items, Numbers, Rebuilt, Words
from tests.lab.dicoms import encoded, instance
from tests.lab.twins import assert_same, names_found, private, twin_of, written

NIBABEL_DICOM = Path(nibabel.__file__).parent / "nicom" / "tests" / "data"


def test_diffusion_weighting_stays_and_nothing_beside_it() -> None:
    with pydicom.config.disable_value_validation():
        ds = instance()
        block = ds.private_block(0x0019, "SIEMENS MR HEADER", create=True)
        block.add_new(0x0C, "IS", "1000")
        block.add_new(0x0D, "CS", "DIRECTIONAL")
        block.add_new(0x0E, "FD", [0.0, 0.6, 0.8])
        block.add_new(0x0F, "SH", "Meier")
        block.add_new(0x16, "DS", "17.25")
        other = ds.private_block(0x0029, "SIEMENS MEDCOM HEADER", create=True)
        other.add_new(0x10, "OB", b"Meier^Anna")
    assert private(ds) == {
        "(0019,0010)": "SIEMENS MR HEADER",
        "(0019,100C)": 1000,
        "(0019,100D)": "DIRECTIONAL",
        "(0019,100E)": [0.0, 0.6, 0.8],
    }
    assert written(encoded(ds))[1].is_complete


def test_what_is_no_number_is_dropped() -> None:
    with pydicom.config.disable_value_validation():
        ds = instance()
        block = ds.private_block(0x0019, "SIEMENS MR HEADER", create=True)
        block.add_new(0x0B, "LO", "12")
        block.add_new(0x0C, "UN", b"Anna")
        block.add_new(0x0D, "CS", "MEIER")
        unknown = ds.private_block(0x7053, "Philips PET Private Grouq", create=True)
        unknown.add_new(0x00, "DS", "1.5")
    assert private(ds) == {}
    assert not written(encoded(ds))[1].is_complete


def test_a_number_whose_bytes_read_as_capitals_stays() -> None:
    ds = instance()
    block = ds.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
    block.add_new(0xA0, "FL", 200.2)
    assert b"33HC" in encoded(ds)
    assert private(ds)["(2005,10A0)"] == pytest.approx(200.2)
    assert written(encoded(ds))[1].is_complete


def test_a_block_stays_where_it_is() -> None:
    ds = instance()
    ds.private_block(0x0019, "SOMEBODY ELSE", create=True).add_new(0x0C, "IS", "7")
    ds.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0C, "IS", "0")
    assert private(ds) == {"(0019,0011)": "SIEMENS MR HEADER", "(0019,110C)": 0}


def test_only_what_is_made_anew_is_ever_kept() -> None:
    kinds = (Numbers, Words, Codes, Items, Rebuilt)
    assert all(isinstance(one, kinds) for many in SAFE_PRIVATE.values() for one in many.values())


def _tables() -> list[tuple[str, int, Any]]:
    return [(name, key, one) for name, many in SAFE_PRIVATE.items() for key, one in many.items()]


@pytest.mark.parametrize(
    ("creator", "key", "kept"), _tables(), ids=[f"{c}-{k:06x}" for c, k, _ in _tables()]
)
def test_a_name_or_birth_date_in_place_of_a_number_goes(creator: str, key: int, kept: Any) -> None:
    texts = ["Meier^Anna  ", "MEIER   ", "19620304", "47110815", "19620304\\47110815 "]
    for text in texts:
        for vr in {"UN", kept.vr} - {"OB", "SQ"}:
            with pydicom.config.disable_value_validation():
                ds = instance(PatientID="47110815", PatientBirthDate="19620304")
                block = ds.private_block(key >> 8, creator, create=True)
                block.add_new(key & 0xFF, "UN", text.encode())
            source = encoded(ds)
            group, number = (key >> 8).to_bytes(2, "little"), (0x1000 | key & 0xFF)
            tag = group + number.to_bytes(2, "little")
            if vr != "UN":
                at = source.index(tag + b"UN")
                length = len(text).to_bytes(2, "little")
                source = source[:at] + tag + vr.encode() + length + source[at + 12 :]
            twin = twin_of(source)
            assert names_found(twin, ["Meier", "MEIER", "Anna", "19620304", "47110815"]) == []


@given(st.binary(max_size=400), st.integers(0, 400), st.sampled_from("<>"))
def test_no_word_of_any_bytes_comes_through(data: bytes, at: int, order: str) -> None:
    data = data[:at] + b"QXQXQX" + data[at:]
    for _, _, kept in _tables():
        if kept.vr == "SQ":
            continue
        try:
            found = kept.rebuilt(data, order, lambda _: True)
        except Exception:  # noqa: S112 - which drops it
            continue
        assert b"QXQX" not in (found or b"")


@pytest.mark.parametrize(
    "names",
    [["0.dcm", "1.dcm"], ["siemens_dwi_0.dcm.gz", "siemens_dwi_1000.dcm.gz"]],
    ids=["mosaic", "diffusion"],
)
def test_the_twin_converts_to_the_same_volume(names: list[str], tmp_path: Path) -> None:
    paths = [NIBABEL_DICOM / name for name in names]
    originals = [
        gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        for path in paths
    ]
    (found,) = assert_same(tmp_path, originals)
    assert found.voxels.ndim == 4
