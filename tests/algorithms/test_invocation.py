"""From descriptor, inputs and parameters to what one job runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from medgrid.algorithms.descriptor import validate
from medgrid.algorithms.invocation import (
    InputRef,
    Invocation,
    JobEnvironment,
    JobLimits,
    Output,
    compose,
    environment_of,
    item_role,
    slots_of,
)
from medgrid.errors import UsageError
from medgrid.model import ObjectKind
from tests.algorithms.sample import minimal, with_inputs

CONFIG = Path(__file__).parents[2] / "config" / "algorithms"
VOLUME = InputRef("image.nii.gz", ObjectKind.VOLUME)
SERIES = InputRef("series.tar", ObjectKind.SERIES)
WITH_COMPANIONS = InputRef("image.nii.gz.tar", ObjectKind.VOLUME)


def sample(name: str) -> dict[str, Any]:
    descriptor: dict[str, Any] = json.loads((CONFIG / f"{name}.json").read_text())
    return descriptor


def composed(descriptor: dict[str, Any], inputs: Any, parameters: Any) -> Invocation:
    validate(descriptor, "sample.json")
    return compose(descriptor, inputs, parameters)


def test_similarity() -> None:
    found = composed(
        sample("similarity"),
        {"source": [VOLUME], "targets": [SERIES, VOLUME]},
        {"threshold": "-1", "picture": "yes"},
    )
    assert found.argv == (
        "python3",
        ({"bundle": True}, "/similarity.py"),
        "--source",
        "in/source/image.nii.gz",
        "--bins",
        "64",
        "--interpolation",
        "linear",
        "--threshold=-1",
        "--picture",
        "--targets",
        "in/targets/0001/series",
        "in/targets/0002/image.nii.gz",
    )
    assert found.paths == {
        "source": ("in/source/image.nii.gz",),
        "targets": ("in/targets/0001/series", "in/targets/0002/image.nii.gz"),
    }
    assert found.unpack == {"in/targets/0001/series"}
    assert found.outputs == (
        Output("measures", "measures-*.json", optional=False, is_list=True),
        Output("pictures", "picture-*.png", optional=True, is_list=True),
    )
    assert found.limits == JobLimits(walltime_s=3600, memory_bytes=8 * 2**30)
    assert found.slots == 1
    assert found.environment.kind == "python"
    assert "nibabel==5.3.3" in found.environment.requirements
    assert found.texts == {}


def test_an_image_lies_beside_its_companions() -> None:
    given = {"source": [WITH_COMPANIONS], "targets": [WITH_COMPANIONS, VOLUME]}
    found = composed(sample("similarity"), given, {})
    assert found.argv[3] == "in/source/image.nii.gz"
    assert found.argv[-2:] == ("in/targets/0001/image.nii.gz", "in/targets/0002/image.nii.gz")
    assert found.paths == {
        "source": ("in/source",),
        "targets": ("in/targets/0001", "in/targets/0002/image.nii.gz"),
    }
    assert found.unpack == {"in/source", "in/targets/0001"}
    tar = InputRef("code.tar", ObjectKind.FILE)
    assert composed(sample("checksum"), {"file": [tar]}, {}).unpack == set()


def test_checksum_runs_through_a_shell() -> None:
    found = composed(sample("checksum"), {"file": [SERIES]}, {})
    assert found.argv == (
        "/bin/sh",
        "-c",
        'find "${1}" -type f -exec sha256sum {} + | sort -k 2 > "${2}"',
        "sh",
        "in/file/series",
        "checksums.txt",
    )
    assert found.environment == JobEnvironment("host", ("find", "sha256sum", "sort"))


def test_bet_in_a_container() -> None:
    given = {"mask": True, "centre": "90,110,75.5"}
    found = composed(sample("bet"), {"image": [VOLUME]}, given)
    assert found.argv == (
        "bet", "in/image/image.nii.gz", "brain.nii.gz", "-f", "0.5",
        "-c", "90", "110", "75.5", "-m",
    )  # fmt: skip
    assert found.environment == JobEnvironment(
        "container", image="docker://docker.io/mcin/docker-fsl:latest"
    )
    assert found.env == {"FSLOUTPUTTYPE": "NIFTI_GZ"}
    with pytest.raises(UsageError, match="robust of bet cannot be given together with centre"):
        compose(sample("bet"), {"image": [VOLUME]}, {**given, "robust": "yes"})


def test_bias_makes_an_image_from_an_image() -> None:
    given = {"iterations": "50,30", "keep_field": "yes"}
    found = composed(sample("bias"), {"image": [VOLUME]}, given)
    assert found.argv[2:] == (
        "in/image/image.nii.gz", "image.nii.gz", "--shrink", "4",
        "--iterations", "50", "30", "--field=field.nii.gz",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("entry", "value", "arguments"),
    [
        ({"type": "String"}, "a b", ["a b"]),
        ({"type": "String", "command-line-flag": "-x"}, "", ["-x", ""]),
        ({"type": "String", "command-line-flag": "--a -x"}, "v", ["--a", "-x", "v"]),
        (
            {"type": "String", "command-line-flag": "-x", "command-line-flag-separator": ""},
            "v",
            ["-xv"],
        ),
        (
            {"type": "String", "command-line-flag": "--x", "command-line-flag-separator": "="},
            " v",
            ["--x= v"],
        ),
        ({"type": "Flag", "command-line-flag": "--x"}, "true", ["--x"]),
        ({"type": "Flag", "command-line-flag": "--x"}, "no", []),
        ({"type": "Number"}, "1e-5", ["1e-05"]),
        ({"type": "Number", "integer": True}, "007", ["7"]),
        ({"type": "String", "list": True}, ["a", "b c"], ["a", "b c"]),
        ({"type": "String", "list": True, "list-separator": ","}, ["a", "b c"], ["a,b c"]),
        (
            {
                "type": "String",
                "list": True,
                "list-separator": ":",
                "command-line-flag": "--x",
                "command-line-flag-separator": "=",
            },
            ["a", "b"],
            ["--x=a:b"],
        ),
    ],
)
def test_values_become_arguments(entry: dict[str, Any], value: Any, arguments: list[str]) -> None:
    descriptor = with_inputs("p [A]", {"id": "a", "value-key": "[A]", **entry})
    assert list(composed(descriptor, {}, {"a": value}).argv) == ["p", *arguments]


def test_configuration_files_and_environment_variables() -> None:
    descriptor = with_inputs(
        "p [CONF]",
        {"id": "a", "type": "String", "value-key": "[A]"},
        {"id": "b", "type": "String", "value-key": "[B]", "optional": True},
        {"id": "image", "type": "File", "value-key": "[IMAGE]"},
        environment_variables=[{"name": "A", "value": "<[A]>"}, {"name": "B", "value": "[B]"}],
    )
    descriptor["output-files"] = [
        {
            "id": "conf",
            "name": "Configuration",
            "path-template": "conf.ini",
            "value-key": "[CONF]",
            "file-template": ["image = [IMAGE]", "a = [A]", "b = [B]", "c = 1"],
        }
    ]
    found = composed(descriptor, {"image": [VOLUME]}, {"a": "$x 'y'"})
    assert found.argv == ("p", "conf.ini")
    assert found.texts == {"conf.ini": "image = in/image/image.nii.gz\na = $x 'y'\n\nc = 1\n"}
    assert found.env == {"A": "<$x 'y'>", "B": ""}
    with pytest.raises(UsageError) as error:
        compose(descriptor, {"image": [VOLUME]}, {"a": "x\nadmin = 1"})
    assert error.value.message == (
        "parameter a holds a line end, which cannot stand in the configuration file conf"
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, JobEnvironment("host", ("program",))),
        ({"command_line": "sub/p [IMAGE] [BINS]"}, JobEnvironment("host")),
        (
            {"container_image": {"type": "docker", "image": "a/b:1"}},
            JobEnvironment("container", image="docker://docker.io/a/b:1"),
        ),
        (
            {"container_image": {"type": "docker", "image": "b", "index": "quay.io/x"}},
            JobEnvironment("container", image="docker://quay.io/x/b"),
        ),
        (
            {"container_image": {"type": "singularity", "image": "a/b", "index": "shub://"}},
            JobEnvironment("container", image="shub://a/b"),
        ),
        (
            {"container_image": {"type": "singularity", "image": "docker://a/b"}},
            JobEnvironment("container", image="docker://a/b"),
        ),
        (
            {
                "container_image": {"type": "docker", "image": "a/b"},
                "custom": {"medgrid": {"environment": {"kind": "host", "programs": ["bet"]}}},
            },
            JobEnvironment("host", ("bet",)),
        ),
    ],
)
def test_environments(changes: dict[str, Any], expected: JobEnvironment) -> None:
    descriptor = minimal(**changes)
    validate(descriptor, "sample.json")
    assert environment_of(descriptor) == expected


def test_slots() -> None:
    assert slots_of(minimal()) == 1
    suggested = minimal(suggested_resources={"cpu-cores": 4})
    assert slots_of(suggested) == 4
    suggested["custom"] = {"medgrid": {"slots": 2}}
    assert slots_of(suggested) == 2


def test_the_item_is_the_file_that_is_not_given() -> None:
    assert item_role(minimal()) == "image"
    assert item_role(sample("similarity"), ["source"]) == "targets"
    assert item_role(sample("similarity"), ["targets"]) == "source"
    two = with_inputs(
        "p [A] [B]",
        {"id": "a", "type": "File", "value-key": "[A]"},
        {"id": "b", "type": "File", "value-key": "[B]"},
    )
    assert item_role(two, ["a"]) == "b"
    with pytest.raises(UsageError) as error:
        item_role(two)
    assert error.value.message == "sample has several inputs the LFNs could be: a, b"
    assert error.value.hint == "give all but one of them: --with a=LFN"
    with pytest.raises(UsageError) as error:
        item_role(minimal(), ["image"])
    assert error.value.message == "sample has no input left for the LFNs"
