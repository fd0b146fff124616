"""Settings: defaults, file, environment, and their mistakes."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from medgrid.config import Settings, load_settings, load_yaml, parse_size, private_dir
from medgrid.errors import ConfigError
from tests.lab.prompt import ROOT


def test_defaults(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, {})
    assert settings == Settings(home=tmp_path)
    assert settings.catalog_url == f"sqlite:///{tmp_path}/catalog.db"


def test_home_comes_from_the_environment(tmp_path: Path) -> None:
    assert load_settings(None, {"MEDGRID_HOME": str(tmp_path)}).home == tmp_path
    assert load_settings(None, {}).home == Path.home() / ".medgrid"


def test_where_wheels_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings(tmp_path, {})
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert settings.wheel_cache_dir == Path.home() / ".cache" / "medgrid" / "wheels"
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert settings.wheel_cache_dir == Path("/caches/medgrid/wheels")
    named = load_settings(tmp_path, {"MEDGRID_WHEEL_CACHE": "/of/all", "MEDGRID_WHEELS": "/disc"})
    assert (named.wheel_cache_dir, named.wheels_dir) == (Path("/of/all"), Path("/disc"))


def test_a_user_without_a_home_keeps_wheels_in_the_grid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 2**31 - 7)
    assert load_settings(tmp_path, {}).wheel_cache_dir == tmp_path / "cache" / "wheels"


def test_environment_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("max_attempts: 5\nbroker_idle_s: 7\n")
    settings = load_settings(tmp_path, {"MEDGRID_MAX_ATTEMPTS": "2"})
    assert settings.max_attempts == 2
    assert settings.broker_idle_s == 7.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_attempt: 5", "unknown setting 'max_attempt'"),
        ("max_attempts: many", "max_attempts must be a int, found 'many'"),
        ("broker_autostart: perhaps", "broker_autostart must be a bool, found 'perhaps'"),
        ("default_se: [a]", "default_se must be text, found ['a']"),
        ("- a", "expected 'name: value' lines, found a list"),
        ("a: b: c", "not valid YAML: mapping values are not allowed here"),
        ("user: a\nuser: b", "not valid YAML: the key 'user' stands twice"),
    ],
)
def test_a_wrong_file(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text + "\n")
    with pytest.raises(ConfigError) as caught:
        load_settings(tmp_path, {})
    assert caught.value.message.startswith(f"{file}: {message}")


def test_a_wrong_variable(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(tmp_path, {"MEDGRID_KEEPALIVE_S": "soon"})
    assert caught.value.message == (
        "MEDGRID_KEEPALIVE_S: keepalive_s must be a float, found 'soon'"
    )


def test_the_commented_sample_shows_the_defaults(tmp_path: Path) -> None:
    """Every setting but the user's name is in it, with its default."""
    text = (ROOT / "config" / "config.yaml").read_text()
    (tmp_path / "config.yaml").write_text(text)
    assert load_settings(tmp_path, {}) == Settings(home=tmp_path)
    shown = set(load_yaml(tmp_path / "config.yaml"))
    assert shown == {field.name for field in fields(Settings)} - {"home", "user"}


def test_a_large_file_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "large.yaml"
    file.write_bytes(b" " * (4 * 1024 * 1024 + 1))
    with pytest.raises(ConfigError, match="larger than 4 MiB"):
        load_yaml(file)


@pytest.mark.parametrize(
    ("text", "amount"),
    [("1500", 1500), ("16G", 2**34), ("1.5T", 3 * 2**39), ("512MiB", 2**29), ("3 kb", 3072)],
)
def test_sizes(text: str, amount: int) -> None:
    assert parse_size(text) == amount


@pytest.mark.parametrize("text", ["", "G", "-1", "1e9", "16X", "1,5G"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="is no amount of bytes such as 512M or 16G"):
        parse_size(text)


def test_private_dir_is_made_private(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    path.mkdir(parents=True)
    path.chmod(0o755)
    assert private_dir(path) == path
    assert path.stat().st_mode & 0o777 == 0o700


def test_a_user_without_name_or_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 4_000_000)
    assert load_settings(tmp_path, {}).user == "uid-4000000"
    with pytest.raises(ConfigError) as caught:
        load_settings(None, {})
    assert caught.value.message == "this user has no home directory"
    assert caught.value.hint == "set MEDGRID_HOME"


def test_a_home_that_cannot_be_looked_into(tmp_path: Path) -> None:
    home = tmp_path
    name = "x" * 300  # no file system has such a name, for root neither
    with pytest.raises(ConfigError) as caught:
        load_settings(home / name)
    assert caught.value.message == f"{home / name}: cannot be read: File name too long"
    assert caught.value.hint == "check its permissions"
