"""What an import is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from medgrid.model import LFN

__all__ = ["ImportRequest"]


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """What to bring in.

    Parameters
    ----------
    paths : sequence of str
        Files and folders.
    to : LFN
        Folder of the catalog everything goes below.
    se : str
        Storage element; empty is the default one.
    issuer : str
        Who gave the patient ids, for files that do not say.
    nifti : bool
        Also convert each series that was found into NIfTI volumes, once.
    keep_names : bool
        Name NIfTI files that are not BIDS after their own names.
    jobs : int
        Processes that read headers; 0 is one per processor.
    dry_run : bool
        Change nothing.
    again : bool
        Read files, too, that could not be imported before and have not changed since; bring back
        what was removed; renew ages and sexes that tables say otherwise by now.
    team : sequence of str
        Identities that care for the patients who are new; empty is as the settings say.
    leave_out : sequence of str
        Attributes of patients and visits that are not taken from tables.
    """

    paths: Sequence[str]
    to: LFN
    se: str = ""
    issuer: str = ""
    nifti: bool = False
    keep_names: bool = False
    jobs: int = 0
    dry_run: bool = False
    again: bool = False
    team: Sequence[str] = ()
    leave_out: Sequence[str] = ()
