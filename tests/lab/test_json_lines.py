"""Lines of JSON after a writer was killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.json_lines import append, read


@pytest.mark.parametrize("torn", [b'{"one": ', b'{"one": "\xc3', b'{"one": 1}'])
def test_a_line_is_added_on_a_line_of_its_own(tmp_path: Path, torn: bytes) -> None:
    file = tmp_path / "lines"
    assert list(read(file)) == []
    append(file, {"zero": 0})
    with file.open("ab") as lines:
        lines.write(torn)
    whole = [{"one": 1}] if torn.endswith(b"}") else []
    assert list(read(file)) == [{"zero": 0}, *whole]
    append(file, {"two": 2})
    append(file, {"three": 3})
    assert list(read(file)) == [{"zero": 0}, *whole, {"two": 2}, {"three": 3}]
