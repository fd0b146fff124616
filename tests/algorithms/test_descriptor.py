"""Descriptors: what is wrong with one is said whole; the digest is over what counts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from medgrid.algorithms.descriptor import load
from medgrid.errors import ConfigError, ExitCode
from tests.algorithms.sample import minimal, with_inputs, written

SAMPLES = sorted((Path(__file__).parents[2] / "config" / "algorithms").glob("*.json"))

IMAGE = {"id": "image", "type": "File", "value-key": "[IMAGE]"}


def said(folder: Path, descriptor: Any) -> tuple[str, str | None]:
    """The error's message without the file's name, and its hint."""
    path = written(folder, descriptor)
    with pytest.raises(ConfigError) as error:
        load(path)
    assert error.value.exit_code is ExitCode.CONFIG
    assert error.value.message.startswith(f"{path}: ")
    return error.value.message.removeprefix(f"{path}: "), error.value.hint


def changed(at: list[str | int], value: Any) -> dict[str, Any]:
    descriptor = minimal()
    place: Any = descriptor
    for step in at[:-1]:
        place = place[step]
    place[at[-1]] = value
    return descriptor


def option(**own: Any) -> dict[str, Any]:
    return minimal(custom={"medgrid": own})


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_the_samples_are_right(path: Path) -> None:
    loaded = load(path)
    assert loaded.name == path.stem
    assert len(loaded.digest) == 64


def test_there_are_samples() -> None:
    assert [path.stem for path in SAMPLES] == ["bet", "bias", "checksum", "deface", "similarity"]


@pytest.mark.parametrize(
    ("descriptor", "message"),
    [
        ([], "$: expected object, found []"),
        ({}, "$: expected 'name', which is missing"),
        (changed(["name"], ""), '$.name: expected text of 1 character or more, found ""'),
        (
            changed(["schema-version"], "0.4"),
            '$.schema-version: expected "0.5", found "0.4"',
        ),
        (
            changed(["inputs", 1, "type"], "Integer"),
            '$.inputs[1].type: expected "String" or "File" or "Flag" or "Number", found "Integer"',
        ),
        (
            changed(["inputs", 1, "minimum"], "2"),
            '$.inputs[1].minimum: expected number, found "2"',
        ),
        (changed(["inputs"], []), "$.inputs: expected a list of 1 or more, found []"),
        (
            changed(["output-files", 0], {"id": "a", "name": "A"}),
            "$.output-files[0]: expected one of 'path-template' and 'conditional-path-template'",
        ),
        (
            changed(["container-image"], {"type": "docker"}),
            "$.container-image: expected 'type' docker or singularity with 'image', "
            "or rootfs with 'url'",
        ),
        (
            with_inputs("p [A]", {"id": "a", "type": "Flag", "list": True, "value-key": "[A]"}),
            "$.inputs[0]: a Flag cannot be a list",
        ),
        (
            with_inputs("p [A]", {**IMAGE, "command-line-flag-separator": "="}),
            "$.inputs[0]: 'command-line-flag-separator' needs 'command-line-flag'",
        ),
        (option(slots=0), "$.custom.medgrid.slots: expected a number >= 1, found 0"),
        (
            option(limits={"walltime_s": 0}),
            "$.custom.medgrid.limits.walltime_s: expected a number > 0, found 0",
        ),
        (
            option(environment={"kind": "conda"}),
            '$.custom.medgrid.environment.kind: expected "host" or "python" or "container", '
            'found "conda"',
        ),
        (
            option(environment={"kind": "host", "programs": ["a b"]}),
            "$.custom.medgrid.environment.programs[0]: expected text like "
            '^[A-Za-z0-9_.+][A-Za-z0-9_.+-]*$, found "a b"',
        ),
    ],
)
def test_what_does_not_fit_the_schema(tmp_path: Path, descriptor: Any, message: str) -> None:
    assert said(tmp_path, descriptor)[0] == message


def test_unknown_names_have_a_hint(tmp_path: Path) -> None:
    assert said(tmp_path, minimal(comand_line="x")) == (
        "$: unknown name 'comand-line'",
        "did you mean command-line?",
    )
    assert said(tmp_path, option(bundel="x")) == (
        "$.custom.medgrid: unknown name 'bundel'",
        "did you mean bundle?",
    )


@pytest.mark.parametrize(
    ("descriptor", "message"),
    [
        (minimal(name="My Tool"), "$.name: 'My Tool' cannot be typed as NAME@VERSION"),
        (
            minimal(tool_version="1 beta"),
            "$.tool-version: '1 beta' cannot be typed as NAME@VERSION",
        ),
        (minimal(description="a\0b"), "$: the descriptor holds a NUL character"),
        (
            changed(["inputs", 1, "id"], "image"),
            "$.inputs[1].id: 'image' is also the id of $.inputs[0]",
        ),
        (changed(["inputs", 1, "id"], "a,b"), "$.inputs[1].id: 'a,b' is not an id"),
        (minimal(command_line="p [IMAGE]"), "$.inputs[1].value-key: '[BINS]' is used nowhere"),
        (
            minimal(command_line="p [IMAGE] [BINS] [OUT]"),
            "$.command-line: the command line has [OUT], which is no value-key",
        ),
        (
            minimal(command_line="p '[IMAGE]' [BINS] > log"),
            "$.command-line: the command line needs a shell and has [IMAGE] inside quotes",
        ),
        (
            minimal(command_line="p [IMAGE] x[BINS]"),
            "$.inputs[1].value-key: '[BINS]' is a part of an argument on the command line and may "
            "become several",
        ),
        (
            changed(["inputs", 1, "value-key"], "[IMAGE]"),
            "$.inputs[1].value-key: '[IMAGE]' is also the value-key of image and both may be given",
        ),
        (
            changed(["inputs", 1, "default-value"], 1),
            "$.inputs[1].default-value: parameter bins must be >= 2, found 1",
        ),
        (
            with_inputs("p [IMAGE]", {**IMAGE, "default-value": "x"}),
            "$.inputs[0].default-value: a File has no default: no file is on every worker",
        ),
        (changed(["inputs", 1, "maximum"], 1), "$.inputs[1].minimum: 2 is above maximum 1"),
        (
            with_inputs("p [A]", {"id": "a", "type": "Flag", "value-key": "[A]"}),
            "$.inputs[0]: a Flag needs a 'command-line-flag'",
        ),
        (
            with_inputs("p [IMAGE]", {**IMAGE, "requires-inputs": ["b"]}),
            "$.inputs[0].requires-inputs[0]: there is no input 'b'",
        ),
        (
            minimal(groups=[{"id": "g", "name": "G", "members": ["image", "x"]}]),
            "$.groups[0].members[1]: there is no input 'x'",
        ),
        (
            with_inputs(
                "p [A]",
                {
                    "id": "a",
                    "type": "String",
                    "value-key": "[A]",
                    "value-choices": ["x"],
                    "value-requires": {"y": []},
                },
            ),
            "$.inputs[0].value-requires.y: 'y' is not one of the value-choices",
        ),
        (
            changed(["output-files", 0, "path-template"], "../result.txt"),
            "$.output-files[0].path-template: '../result.txt' leads out of the job's directory",
        ),
        (
            minimal(
                output_files=[
                    {"id": "a", "name": "A", "path-template": "x"},
                    {"id": "b", "name": "B", "path-template": "x"},
                ]
            ),
            "$.output-files[1].path-template: 'x' is also the path-template of a",
        ),
        (
            changed(
                ["output-files", 0],
                {"id": "a", "name": "A", "conditional-path-template": [{"bins > 8": "x"}]},
            ),
            "$.output-files[0].conditional-path-template: an output that is not optional needs a "
            "'default'",
        ),
        (
            changed(
                ["output-files", 0],
                {"id": "a", "name": "A", "conditional-path-template": [{"open(1)": "x"}]},
            ),
            "$.output-files[0].conditional-path-template[0]: the condition 'open(1)' has Call",
        ),
        (
            minimal(environment_variables=[{"name": "a,b", "value": "x"}]),
            "$.environment-variables[0].name: 'a,b' is no variable's name",
        ),
        (
            minimal(container_image={"type": "rootfs", "url": "http://x"}),
            "$.container-image: a rootfs cannot be run",
        ),
        (
            minimal(
                container_image={
                    "type": "docker",
                    "image": "x",
                    "container-opts": ["--privileged"],
                }
            ),
            "$.container-image.container-opts: is not passed on: the worker decides how a "
            "container is run",
        ),
        (option(item="bins"), "$.custom.medgrid.item: there is no File input 'bins'"),
        (
            option(attributes={"x": ["ncc"]}),
            "$.custom.medgrid.attributes.x: there is no output 'x'",
        ),
        (
            option(per_input={"result": "image"}),
            "$.custom.medgrid.per_input.result: there is no output list 'result'",
        ),
        (option(bundle="code"), "$.custom.medgrid.bundle: the command line has no [BUNDLE]"),
        (
            minimal(
                command_line="[BUNDLE]/p [IMAGE] [BINS]", custom={"medgrid": {"bundle": "../x"}}
            ),
            "$.custom.medgrid.bundle: the folder must lie beside the descriptor",
        ),
        (
            option(environment={"kind": "host", "requirements": ["numpy==1"]}),
            "$.custom.medgrid.environment.requirements: only an environment of kind python has "
            "some",
        ),
        (
            option(environment={"kind": "host", "alone": ["numpy==1"]}),
            "$.custom.medgrid.environment.alone: only an environment of kind python has some",
        ),
        (
            option(environment={"kind": "container"}),
            "$.custom.medgrid.environment: an environment of kind container needs an 'image'",
        ),
    ],
)
def test_what_contradicts_itself(tmp_path: Path, descriptor: Any, message: str) -> None:
    assert said(tmp_path, descriptor)[0] == message


@pytest.mark.parametrize(
    "requirement",
    ["numpy", "numpy>=2", "numpy==2.*", "numpy==2,<3", "-e .", "numpy @ http://x/n.whl", "--pre"],
)
@pytest.mark.parametrize("field", ["requirements", "alone"])
def test_requirements_are_pinned(tmp_path: Path, requirement: str, field: str) -> None:
    environment = {"kind": "python", field: [requirement]}
    assert said(tmp_path, option(environment=environment)) == (
        f"$.custom.medgrid.environment.{field}[0]: {requirement!r} is not pinned",
        "pin it with '==', so that the same algorithm gives the same result next year",
    )


def test_pinned_requirements_may_have_extras_and_markers(tmp_path: Path) -> None:
    requirements = ["numpy==2.0.2", "a[b,c] == 1.0; python_version < '3.10'", "torch==2.1+cpu"]
    environment = {"kind": "python", "requirements": requirements}
    load(written(tmp_path, option(environment=environment)))


def test_one_key_for_two_inputs_of_which_only_one_may_be_given(tmp_path: Path) -> None:
    one, other = (
        {"id": name, "type": "String", "optional": True, "value-key": "[X]"} for name in "ab"
    )
    group = {"id": "g", "name": "G", "members": ["a", "b"], "mutually-exclusive": True}
    load(written(tmp_path, with_inputs("p [X]", one, other, groups=[group])))


def test_files_that_are_no_descriptor(tmp_path: Path) -> None:
    for content, reason in (
        (b"{\n  'a'", "not valid JSON: expecting property name enclosed in double quotes at line "
         "2 column 3"),
        (b"\xff", "not JSON in UTF-8: byte 0 is none"),
        (b'{"a": NaN}', "not valid JSON: NaN is no number"),
        (b"[" * 100_000, "nested more than 64 deep"),
    ):  # fmt: skip
        path = tmp_path / "x.json"
        path.write_bytes(content)
        with pytest.raises(ConfigError) as error:
            load(path)
        assert error.value.message == f"{path}: {reason}"
    with pytest.raises(ConfigError) as error:
        load(tmp_path / "none.json")
    assert (
        error.value.message
        == f"{tmp_path / 'none.json'}: cannot be read: no such file or directory"
    )


def bundled(folder: Path, code: bytes = b"print(1)") -> Path:
    (folder / "code").mkdir(exist_ok=True)
    (folder / "code" / "p.py").write_bytes(code)
    descriptor = minimal(
        command_line="python3 [BUNDLE]/p.py [IMAGE] [BINS]",
        custom={"medgrid": {"bundle": "code"}},
    )
    return written(folder, descriptor)


def test_the_digest_is_over_descriptor_and_code(tmp_path: Path) -> None:
    path = bundled(tmp_path)
    first = load(path)
    assert first.bundle is not None
    # the file's layout and the code's dates do not count
    path.write_text(json.dumps(json.loads(path.read_text()), indent=3, sort_keys=True))
    (tmp_path / "code" / "p.py").touch()
    assert load(path).digest == first.digest
    assert load(bundled(tmp_path, b"print(2)")).digest != first.digest
    assert load(written(tmp_path, minimal())).digest != first.digest


def test_a_bundle_that_is_missing(tmp_path: Path) -> None:
    path = bundled(tmp_path)
    (tmp_path / "code" / "p.py").unlink()
    with pytest.raises(ConfigError) as error:
        load(path)
    assert error.value.message == (
        f"{path}: $.custom.medgrid.bundle: the bundle {tmp_path / 'code'} holds no file"
    )
