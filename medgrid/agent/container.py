"""Running a job inside a container: no network, its own directories only, nothing left behind."""

from __future__ import annotations

import os
import subprocess
from typing import Dict, List, Optional

from .processes import find_program

__all__ = ["Container", "find_runtime", "runtimes"]

RUNTIMES = ("apptainer", "podman")
_WORK, _TEMPORARY, _BUNDLE = "/medgrid/work", "/medgrid/tmp", "/medgrid/bundle"
_HOST_ONLY = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "USER", "LOGNAME")
_REMOVE_S = 30.0


def runtimes(path: str) -> List[str]:
    """Names of the container runtimes that are on `path`."""
    return [name for name in RUNTIMES if find_program(name, path)]


def find_runtime(path: str, image: str) -> Optional[str]:
    """Absolute path of the first runtime that takes `image`, None when there is none."""
    for name in runtimes(path):
        if name == "apptainer" or not image.endswith(".sif"):
            return find_program(name, path)
    return None


class Container:
    """One job's container.

    Parameters
    ----------
    runtime : str
        Absolute path of apptainer or podman.
    name : str
        Unique on the host.
    binds : dict
        ``work``, ``tmp`` and, when there is one, ``bundle``: directories on the host.
    is_private : bool
        Whether nothing that the job writes or prints may come to lie on the runtime's disk.
    """

    def __init__(
        self, runtime: str, image: str, name: str, binds: Dict[str, str], is_private: bool = False
    ) -> None:
        self._runtime = runtime
        self._image = image
        self._name = name
        self._binds = binds
        self._is_private = is_private
        self._is_podman = os.path.basename(runtime) == "podman"

    def argv(self, argv: List[str], env: Dict[str, str]) -> List[str]:
        """Command line on the host that runs `argv` in the container.

        Paths of the bundle in `argv` become those inside; variables that belong to the host's own
        programs stay outside.
        """
        binds = [(self._binds["work"], _WORK, "rw"), (self._binds["tmp"], _TEMPORARY, "rw")]
        bundle = self._binds.get("bundle")
        if bundle:
            binds.append((bundle, _BUNDLE, "ro"))
            argv = [part.replace(bundle, _BUNDLE) for part in argv]
        inner = {name: value for name, value in env.items() if name not in _HOST_ONLY}
        inner.update(HOME=_TEMPORARY, TMPDIR=_TEMPORARY)
        variables = ["--env=%s=%s" % pair for pair in sorted(inner.items())]
        if self._is_podman:
            # the container's root is this user, so the job's files belong to us
            options = ["run", "--rm", "--name=" + self._name, "--network=none", "--user=0:0"]
            options += ["--pull=missing", "--security-opt=label=disable", "--workdir=" + _WORK]
            if self._is_private:  # /tmp and the like become tmpfs; the standard output is not kept
                options += ["--read-only", "--read-only-tmpfs=true", "--log-driver=none"]
            options += ["--volume=%s:%s:%s" % bind for bind in binds]
            return [self._runtime, *options, *variables, "--entrypoint=", self._image, *argv]
        options = ["exec", "--containall", "--net", "--network=none", "--pwd=" + _WORK]
        options += ["--bind=%s:%s:%s" % bind for bind in binds]
        return [self._runtime, *options, *variables, self._apptainer_image(), *argv]

    def env(self, env: Dict[str, str]) -> Dict[str, str]:
        """Environment of the runtime itself, whose images lie in the user's home."""
        outer = dict(env, HOME=os.path.expanduser("~"))
        del outer["TMPDIR"]
        if "XDG_RUNTIME_DIR" in os.environ:
            outer["XDG_RUNTIME_DIR"] = os.environ["XDG_RUNTIME_DIR"]
        return outer

    def remove(self, env: Dict[str, str]) -> None:
        """Remove what a killed container leaves in the runtime's books."""
        if self._is_podman:
            argv = [self._runtime, "rm", "--force", "--ignore", "--time=0", self._name]
            quiet = subprocess.DEVNULL
            try:
                subprocess.run(
                    argv, env=env, stdin=quiet, stdout=quiet, stderr=quiet, timeout=_REMOVE_S
                )
            except (OSError, subprocess.TimeoutExpired):
                pass

    def _apptainer_image(self) -> str:
        if "://" in self._image or self._image.startswith("/") or self._image.endswith(".sif"):
            return self._image
        return "docker://" + self._image
