"""The room of a protected job: plain files in memory, and encrypted ones where they leave.

Its attempt's directory holds ``private``, a link to (or, on a host without tmpfs, itself) the
directory with the plain files, and ``sealed``, the outputs' bodies under neutral names. The former
is deleted before anybody is told that the job ended.
"""

from __future__ import annotations

import base64
import json
import os
import re
from typing import Any, Dict, List

from . import crypt4gh
from .layout import Layout, remove_tree
from .libcrypto import Cipher, Libcrypto
from .outputs import OutputProblem, find_outputs
from .private import NoRoom, make_private
from .room import Result, Room
from .staging import StageError, Stamp, place_inputs

__all__ = ["PRIVATE", "SEALED", "SealedRoom", "neutral_name"]

PRIVATE, SEALED = "private", "sealed"

_DIGEST_PURPOSE = b"medgrid content digest"
_SUFFIX = re.compile(r"(\.[A-Za-z0-9_]{1,12}){1,2}")
_KNOWN_SUFFIXES = re.findall(
    r"\S+",
    ".nii.gz .nii .mgz .mgh .mnc .hdr .img .nrrd .mha .dcm .gii .vtk .stl .bval .bvec .trk .tck "
    ".json .csv .tsv .txt .log .html .xml .yaml .pdf .png .jpg .svg .xfm .tfm .mat .npy .npz .h5 "
    ".tar.gz .tar .zip .gz",
)


class SealedRoom(Room):
    """The room of one protected job.

    Parameters
    ----------
    keeper : dict
        Identity of this process.
    """

    folders = ()
    is_private = True

    def __init__(
        self,
        layout: Layout,
        order: Dict[str, Any],
        keeper: Dict[str, Any],
        agent_id: str,
        library: Libcrypto,
    ) -> None:
        super().__init__(layout, order)
        self._keeper = keeper
        self._agent_id = agent_id
        self._library = library
        self._reader = base64.b64decode(self._launch["seal_to"])
        self._private = os.path.join(self._directory, PRIVATE)
        self._sealed = os.path.join(self._directory, SEALED)
        self._told: Dict[str, Any] = {}  # what the record must not say

    @property
    def folders_to_fill(self) -> List[str]:
        """Directories on the file systems that a job can fill."""
        return [self._private, self._directory]

    def is_gone(self) -> bool:
        """Whether somebody took the private directory away."""
        return not os.path.isdir(self.work)

    def stage(self) -> Dict[str, Stamp]:
        """Make the private directory, and put the inputs, decrypted and checked, into it."""
        needed = sum(self._plain_bytes(one) for one in self._launch.get("inputs", ()))
        try:
            private = make_private(self._agent_id, self._keeper, needed)
        except NoRoom as exc:
            raise StageError(
                "the worker's memory file system is too small for the inputs", cause="no-space"
            ) from exc
        link = os.path.join(self._directory, PRIVATE)
        if private is None:
            private = link
            os.mkdir(private, 0o700)
        else:
            self._private = private
            os.symlink(private, link)
        self._settle(private)
        for path in (self.work, self.temporary):
            os.mkdir(path, 0o700)
        return place_inputs(self._layout, self.work, self._launch, self._library)

    def outputs(self) -> List[Dict[str, Any]]:
        """Outputs of the ended job, encrypted and named anew."""
        os.mkdir(self._sealed, 0o700)
        counts: Dict[str, int] = {}
        own_names: List[str] = []

        def take(pattern: Dict[str, Any], name: str, descriptor: int) -> Dict[str, Any]:
            folder = re.sub(r"[^A-Za-z0-9_-]", "_", pattern["role"]) or "_"
            counts[folder] = counts.get(folder, 0) + 1
            path = "%s/%s" % (folder, neutral_name(counts[folder], name, pattern["glob"]))
            own_names.append(name)
            return dict(self._seal(descriptor, path), role=pattern["role"], path=path)

        patterns = self._launch.get("outputs", [])
        found = find_outputs(self.work, patterns, take, self._output_bytes)
        self._told["paths"] = own_names
        return found

    def explain(self, problem: "StageError | OutputProblem") -> str:
        """What the record may say of a problem; the rest goes with the tails."""
        if problem.neutral != str(problem):
            self._told["message"] = str(problem)
        return problem.neutral

    def close_result(self, result: Result) -> None:
        """Seal what the job printed."""
        for name in ("stdout_tail", "stderr_tail"):
            tail = result.pop(name, "")
            if tail:
                self._told[name] = tail
        if self._told:
            told = json.dumps(self._told).encode()
            sealed = crypt4gh.seal_small(self._library, self._reader, told)
            result["sealed_tails"] = base64.b64encode(sealed).decode()

    def drop_outputs(self) -> None:
        """Give up what the job made: the disk is full."""
        remove_tree(self._sealed)

    def leave(self) -> None:
        """Delete the plain files."""
        remove_tree(self._private)
        remove_tree(os.path.join(self._directory, PRIVATE))

    def _plain_bytes(self, wanted: Dict[str, Any]) -> int:
        if wanted.get("key"):
            return int(wanted["plain_bytes"])
        try:
            return os.stat(self._layout.cached(wanted["sha256"])).st_size
        except OSError:
            return 0

    def _seal(self, descriptor: int, path: str) -> Dict[str, Any]:
        """Encrypt an open file, which gets closed, to ``sealed/path``."""
        target = os.path.join(self._sealed, path)
        data_key = crypt4gh.new_key()
        with open(descriptor, "rb", buffering=0) as source:
            os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            with open(os.open(target, flags, 0o600), "wb", buffering=1 << 20) as body:
                size = os.fstat(descriptor).st_size
                about = crypt4gh.seal(self._library, data_key, source.readinto, body.write, size)
        nonce = os.urandom(12)
        digest = Cipher(self._library, data_key, True).message(
            nonce, about.pop("digest"), _DIGEST_PURPOSE
        )
        about["sealed_digest"] = base64.b64encode(nonce + digest).decode()
        header = crypt4gh.seal_header(self._library, data_key, self._reader)
        about["header"] = base64.b64encode(header).decode()
        return about


def neutral_name(number: int, name: str, pattern: str) -> str:
    """Name that tells nothing but the kind of a file: what its pattern or a known suffix says."""
    last = pattern.rsplit("/", 1)[-1]
    fixed = re.split(r"[*?\]]", last)[-1]
    start = fixed.find(".", 1 if fixed == last else 0)
    suffix = fixed[start:] if start >= 0 else ""
    if not _SUFFIX.fullmatch(suffix):
        lower = name.lower()
        suffix = next((one for one in _KNOWN_SUFFIXES if lower.endswith(one)), "")
    return "%d%s" % (number, suffix)
