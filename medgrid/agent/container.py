"""The command line that runs a job inside a container: no network, its own directories only."""

from __future__ import annotations

import os
import shutil
from typing import Dict, List, Optional

__all__ = ["RUNTIMES", "container_argv", "find_runtime", "runtimes"]

RUNTIMES = ("apptainer", "podman")
_WORK, _TEMPORARY, _BUNDLE = "/medgrid/work", "/medgrid/tmp", "/medgrid/bundle"
_HOST_ONLY = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "SHELL", "USER", "LOGNAME")


def runtimes(path: str) -> List[str]:
    """Names of the container runtimes that are on `path`."""
    return [name for name in RUNTIMES if shutil.which(name, path=path)]


def find_runtime(path: str) -> Optional[str]:
    """Absolute path of the first runtime, None when there is none."""
    found = runtimes(path)
    return shutil.which(found[0], path=path) if found else None


def container_argv(
    runtime: str,
    image: str,
    argv: List[str],
    work: str,
    temporary: str,
    bundle: str,
    env: Dict[str, str],
) -> List[str]:
    """Wrap `argv` to run in `image`; `work` is its writable working directory.

    Paths of the bundle in `argv` become those inside the container. Variables of the host's
    own programs stay outside.
    """
    binds = [(work, _WORK, "rw"), (temporary, _TEMPORARY, "rw")]
    if bundle:
        binds.append((bundle, _BUNDLE, "ro"))
        argv = [part.replace(bundle, _BUNDLE) for part in argv]
    inner = {name: value for name, value in env.items() if name not in _HOST_ONLY}
    inner.update(HOME=_TEMPORARY, TMPDIR=_TEMPORARY)
    if os.path.basename(runtime) == "podman":
        options = ["run", "--rm", "--network=none", "--pull=missing", "--workdir=" + _WORK]
        options += ["--volume=%s:%s:%s" % bind for bind in binds]
        options += ["--env=%s=%s" % pair for pair in sorted(inner.items())]
        return [runtime, *options, "--entrypoint=" + argv[0], image, *argv[1:]]
    options = ["exec", "--containall", "--no-eval", "--net", "--network=none", "--pwd=" + _WORK]
    options += ["--bind=%s:%s:%s" % bind for bind in binds]
    options += ["--env=%s=%s" % pair for pair in sorted(inner.items())]
    return [runtime, *options, image, *argv]
