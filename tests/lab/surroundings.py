"""What a test run sees of the machine and of who runs it: nothing that only this user has.

The run gets a home and a directory for temporary files of its own, the usual umask, and none of the
variables by which a user tells programs how to behave. ``tests/lab/leftovers.py`` looks what is
left in the directory.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import tempfile
from pathlib import Path

import pytest

from medgrid.config import user_cache_dir
from tests.lab.memory import root_in_memory

__all__ = ["directory_of_the_run", "skip_without_account"]

_OF_USERS = (
    *("MEDGRID", "GIT_", "SSH_", "PG", "XDG_", "LC_", "LESS", "MAN"),
    *(
        "LANGUAGE",
        "TZ",
        "TMPDIR",
        "TEMP",
        "TMP",
        "MAIL",
        "EDITOR",
        "VISUAL",
        "PAGER",
        "TERM_PROGRAM",
    ),
    *("PYTHONWARNINGS", "PYTHONSTARTUP", "PYTHONDEVMODE", "PYTHONOPTIMIZE", "PYTHONUNBUFFERED"),
    *("NO_COLOR", "FORCE_COLOR", "CLICOLOR", "COLUMNS", "LINES", "CDPATH", "ENV"),
    *("BASH_ENV", "POSIXLY_CORRECT", "GREP_", "TAR_OPTIONS", "LS_COLORS", "MALLOC_"),
)
"""Names of variables, or how they begin."""
_KEPT_PLACES = {
    "PIP_CONFIG_FILE": ".config/pip/pip.conf",
    "PIP_CACHE_DIR": ".cache/pip",
    "PYENV_ROOT": ".pyenv",
}
"""How this machine gets packages and other Pythons: not a matter of taste."""
_SHORT = re.compile(r"[\w./-]{1,30}", re.ASCII)  # what sockets' paths and shell scripts can bear

_directory: list[Path] = []


def directory_of_the_run() -> Path:
    """Where ``TMPDIR`` of all tests leads; known to the process that leads the run."""
    return _directory[0]


def skip_without_account() -> None:
    """Skip a test whose programs refuse a user without an entry among the accounts."""
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        pytest.skip("OpenSSH and PostgreSQL need a user with an account (getent passwd)")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Set the environment; processes that run tests for this one inherit it."""
    if hasattr(config, "workerinput") or _directory:
        return
    parent, of_files = tempfile.gettempdir(), tempfile.gettempdir()
    if not os.environ.get("TMPDIR"):  # nobody said where
        of_files = str(root_in_memory() or of_files)
    if not _SHORT.fullmatch(parent):
        parent = "/tmp"
    os.umask(0o022)
    wheels = user_cache_dir() / "wheels"
    for name, place in _KEPT_PLACES.items():
        if (Path.home() / place).exists():
            os.environ.setdefault(name, str(Path.home() / place))
    for name in list(os.environ):
        if name.startswith(_OF_USERS):
            del os.environ[name]
    directory = Path(tempfile.mkdtemp(prefix="mgt-", dir=parent))
    directory.chmod(0o711)  # servers run as other users
    _directory.append(directory)
    home = directory / "home"
    home.mkdir()
    if wheels.is_dir():  # locked files, which anybody may find here who looks for them
        kept = home / ".cache" / "medgrid" / "wheels"
        kept.parent.mkdir(parents=True)
        kept.symlink_to(wheels)
    os.environ |= {"LANG": "C.UTF-8", "HOME": str(home), "TMPDIR": str(directory)}
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", of_files)  # those of failed tests stay
    tempfile.tempdir = None


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the directory."""
    if not hasattr(config, "workerinput") and _directory:
        shutil.rmtree(_directory.pop(), ignore_errors=True)
