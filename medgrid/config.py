"""Settings: the grid home, its ``config.yaml`` and ``MEDGRID_*`` variables, as one frozen value."""

from __future__ import annotations

import errno
import getpass
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from medgrid.errors import ConfigError

__all__ = [
    "Settings",
    "has_grid",
    "load_settings",
    "load_yaml",
    "make_dirs",
    "parse_size",
    "private_dir",
    "sync_folder",
    "user_cache_dir",
]

_CANNOT_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EACCES)  # this file system, or not this user
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)\s*([KMGTP]?)(?:i?B)?", re.IGNORECASE)


def _user() -> str:
    """Who runs this process; ``uid-1000`` where that number has no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"


@dataclass(frozen=True, slots=True)
class Settings:
    """What this process runs with.

    Each field but `home` can stand in ``config.yaml`` under its own name, or in the environment as
    ``MEDGRID_`` + its name in capitals; the environment wins.
    """

    home: Path
    catalog: str = ""  # SQLAlchemy URL; the default is SQLite in the grid home
    keystore: str = ""  # URL of the key store, several with spaces between; the default is SQLite
    keystore_threshold: int = 1  # of several key stores, how many are needed to open anything
    passphrase_file: str = ""  # holds the passphrase of this user's identity; the default is to ask
    care_team: str = ""  # identities, with spaces between, that care for patients who are new
    user: str = field(default_factory=_user)
    default_se: str = ""  # where outputs and imports go; the default is the first enabled one
    known_hosts: str = ""  # the default is <home>/known_hosts, then ~/.ssh/known_hosts
    identity: str = ""  # private key file for SSH; the default is ssh's own keys and agent
    connect_timeout_s: float = 15.0
    keepalive_s: float = 30.0
    broker_idle_s: float = 60.0  # a background broker ends after so long without work
    broker_autostart: bool = True
    host_lost_after_s: float = 600.0  # an unreachable worker's jobs go elsewhere after so long
    max_attempts: int = 3
    wheels: str = ""  # directory that wheels for workers come from, and no index is asked
    wheel_cache: str = ""  # where wheels are kept; the default is in the user's cache directory

    @property
    def catalog_url(self) -> str:
        """SQLAlchemy URL of the catalog."""
        return self.catalog or f"sqlite:///{self._catalog_file}"

    @property
    def has_catalog(self) -> bool:
        """Whether one is named, or its file is in the grid home."""
        return bool(self.catalog) or self._catalog_file.exists()

    @property
    def _catalog_file(self) -> Path:
        return self.home / "catalog.db"

    @property
    def keystore_urls(self) -> tuple[str, ...]:
        """SQLAlchemy URLs of the key stores."""
        return tuple(self.keystore.split()) or (f"sqlite:///{self.home / 'keystore.db'}",)

    @property
    def keys_dir(self) -> Path:
        """Where this grid home keeps its secrets (mode 0700)."""
        return self.home / "keys"

    @property
    def log_dir(self) -> Path:
        """Where background processes write their logs."""
        return self.home / "log"

    @property
    def cache_dir(self) -> Path:
        """What can be thrown away: wheelhouses, converted files."""
        return self.home / "cache"

    @property
    def wheels_dir(self) -> Path | None:
        """Directory that wheels must come from, if there is one."""
        return Path(self.wheels).expanduser() if self.wheels else None

    @property
    def wheel_cache_dir(self) -> Path:
        """Where wheels are kept, for all grids of this user; it can be thrown away, too."""
        if self.wheel_cache:
            return Path(self.wheel_cache).expanduser()
        try:
            return user_cache_dir() / "wheels"
        except RuntimeError:  # a user without a name, who has no home directory
            return self.cache_dir / "wheels"


def user_cache_dir() -> Path:
    """What can be thrown away, of all grids of this user and of this checkout's programs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "medgrid"


def has_grid(home: Path) -> bool:
    """Whether a grid was made in a home: it has a pseudonym key, or something is stored."""
    return any(home.glob("keys/pseudonym.key")) or any(home.glob("storage/*"))


def load_settings(home: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings of a grid home.

    Parameters
    ----------
    home : Path, optional
        Grid home; the default is ``$MEDGRID_HOME``, else ``~/.medgrid``.
    environ : mapping, optional
        Environment; the default is the process's own.

    Raises
    ------
    ConfigError
        ``config.yaml`` cannot be read, or a value has the wrong type.
    """
    env = os.environ if environ is None else environ
    if home is None:
        home = Path(env.get("MEDGRID_HOME") or "~/.medgrid")
    try:
        home = home.expanduser().absolute()
    except RuntimeError as exc:
        raise ConfigError("this user has no home directory", hint="set MEDGRID_HOME") from exc
    known = {f.name: f for f in fields(Settings) if f.name != "home"}
    values: dict[str, Any] = {}
    file = home / "config.yaml"
    try:
        has_file = file.exists()
    except OSError as exc:
        raise ConfigError(
            f"{home}: cannot be read: {exc.strerror}", hint="check its permissions"
        ) from exc
    if has_file:
        data = load_yaml(file)
        if data is not None and not isinstance(data, dict):
            raise ConfigError(
                f"{file}: expected 'name: value' lines, found a {type(data).__name__}"
            )
        for name, value in (data or {}).items():
            if name not in known:
                raise ConfigError(
                    f"{file}: unknown setting {name!r}",
                    hint=f"settings are {', '.join(sorted(known))}",
                )
            values[name] = _typed(str(file), name, str(known[name].type), value)
    for name, field_ in known.items():
        text = env.get("MEDGRID_" + name.upper())
        if text:
            values[name] = _typed(f"MEDGRID_{name.upper()}", name, str(field_.type), text)
    return Settings(home=home, **values)


def _typed(source: str, name: str, kind: str, value: Any) -> Any:
    try:
        if kind == "bool":
            if isinstance(value, bool):
                return value
            return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[
                str(value).lower()
            ]
        if kind == "float":
            return float(value)
        if kind == "int":
            return int(value)
    except (KeyError, ValueError, TypeError) as exc:
        raise ConfigError(f"{source}: {name} must be a {kind}, found {value!r}") from exc
    if not isinstance(value, str | int | float):
        raise ConfigError(f"{source}: {name} must be text, found {value!r}")
    return str(value)


def load_yaml(file: Path) -> Any:
    """Read a YAML file; see `medgrid.documents.read_yaml`.

    Raises
    ------
    ConfigError
        The file cannot be read or is not such YAML.
    """
    from medgrid.documents import Unreadable, read_file, read_yaml

    try:
        return read_yaml(read_file(file))
    except OSError as exc:
        raise ConfigError(f"{file}: cannot be read: {exc.strerror}") from exc
    except Unreadable as exc:
        raise ConfigError(f"{file}: {exc}") from exc


def parse_size(text: str) -> int:
    """Read an amount of bytes such as ``1500``, ``16G``, ``1.5T`` or ``512MiB``; K is 1024.

    Raises
    ------
    ValueError
        `text` is no such amount; the message says what was expected.

    Examples
    --------
    >>> parse_size("16G")
    17179869184
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no amount of bytes such as 512M or 16G")
    return int(float(match[1]) * 1024 ** " KMGTP".index(match[2].upper() or " "))


def private_dir(path: Path) -> Path:
    """Make a directory that only this user can enter, and return it.

    Raises
    ------
    ConfigError
        It cannot be made, or belongs to somebody else.
    """
    try:
        make_dirs(path, mode=0o700)
        found = path.stat()
        if found.st_uid != os.geteuid():
            raise ConfigError(f"{path} belongs to another user")
        if stat.S_IMODE(found.st_mode) & 0o077:
            path.chmod(0o700)
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be made private: {exc.strerror}") from exc
    return path


def make_dirs(path: Path, mode: int = 0o777) -> None:
    """Make a directory, and its parents where they are missing, so that they survive a power cut.

    Raises
    ------
    OSError
        It cannot be made.
    """
    missing = [one for one in (path, *path.parents) if not one.exists()]
    path.mkdir(mode=mode, parents=True, exist_ok=True)
    for one in missing:
        sync_folder(one.parent)


def sync_folder(folder: Path) -> None:
    """Make what was named in a directory survive a power cut, where the file system can.

    Raises
    ------
    OSError
        The disk reports an error.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as exc:
        if exc.errno not in _CANNOT_SYNC:
            raise
