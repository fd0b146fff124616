"""Patients who come into the grid: their keys, their care team, what names them."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from medgrid.actions.grid import Grid
from medgrid.actions.importing.doubts import BIRTH_DATE
from medgrid.actions.permission import asker
from medgrid.catalog.access import Member
from medgrid.crypto.policy import Care, Role, Verb, may
from medgrid.errors import ConfigError, Denied
from medgrid.model import DataClass

__all__ = ["Patients", "names_of", "sealed_names"]


class Patients:
    """Makes patients known who are not yet.

    Parameters
    ----------
    team : sequence of str
        Identities that care for those who are new; when there are none, those that the settings
        name, else the user.
    contradict : callable
        Told of each patient of whom what differs is said that cannot: pseudonym, and what.
    """

    def __init__(
        self,
        grid: Grid,
        team: Sequence[str] = (),
        contradict: Callable[[str, str], None] = lambda _patient, _what: None,
    ) -> None:
        self._grid = grid
        self._contradict = contradict
        self._team = tuple(team) or tuple(grid.settings.care_team.split())
        self._met: dict[str, dict[str, str]] = {}

    def meet(self, names: Mapping[str, Iterable[Mapping[str, str]]]) -> None:
        """Make patients known, by pseudonym, with what names them.

        Keys come first, then the care team, so that a patient whose data is in the catalog is one
        whom somebody can see. What is interrupted is done again by the next import.

        Raises
        ------
        ConfigError
            Nobody would care for a patient who is new.
        """
        new = {patient: _joined(many) for patient, many in names.items()}
        new = {
            patient: known
            for patient, known in new.items()
            if patient not in self._met or not known.items() <= self._met[patient].items()
        }
        if not new:
            return
        vault = self._grid.vault
        there = vault.store.current(new, DataClass.IMAGE)
        strangers = [patient for patient in new if patient not in there]
        if strangers:
            keys = [(name, vault.trust(name).encryption_public) for name in self._members()]
            with vault.store.transaction():
                for data_class in _CLASSES:
                    vault.compartments.ensure(strangers, data_class, keys)
                if vault.name not in dict(keys):  # who brings data in for others opens none of it
                    for patient in strangers:
                        vault.store.drop_wraps(patient, None, vault.name)
        access = self._grid.whole.access
        alone = access.without_team(new)
        if alone:
            team = self._members()
            access.add_care(
                *(Member(patient, name, Care.PHYSICIAN) for patient in alone for name in team)
            )
        self._seal(new, set(strangers))
        self._met.update(new)

    def of_others(self, patients: Iterable[str]) -> set[str]:
        """Those of `patients` in others' care, whom this user may not bring data of.

        Who is told so hears nothing of what the grid has of them.
        """
        wanted = set(patients)
        if not wanted:
            return wanted
        who, now_s = asker(self._grid), time.time()
        things = self._grid.whole.access.patient_things(wanted, who.name)
        return {
            patient
            for patient, thing in things.items()
            if thing.has_team and not may(who, Verb.ADD, thing, now_s)
        }

    def _members(self) -> tuple[str, ...]:
        vault = self._grid.vault
        team = self._team or (vault.name,)
        for name in team:
            if Role.PHYSICIAN not in vault.trust(name).roles:
                raise ConfigError(
                    f"{name} cannot care for patients who are new: its certificate does not say "
                    "physician",
                    hint="name physicians with --team, or in the setting care_team",
                )
        return team

    def _seal(self, new: Mapping[str, Mapping[str, str]], strangers: Collection[str]) -> None:
        """Keep what names patients, sealed; what was known of them before stays."""
        vault = self._grid.vault
        known = [patient for patient in new if patient not in strangers]
        before = sealed_names(self._grid, known, "import") if known else {}
        seals = {}
        for patient, names in new.items():
            if patient in strangers or patient in before:
                together = _joined([before.get(patient, {}), names])
                if together != before.get(patient):
                    seals[patient] = together
                    if "\\" in together.get("PatientBirthDate", ""):
                        self._contradict(patient, BIRTH_DATE)
        if seals:
            vault.seals.put(seals)


_CLASSES = (DataClass.NOMINATIVE, DataClass.IMAGE)


def _joined(many: Iterable[Mapping[str, str]]) -> dict[str, str]:
    r"""What several headers say together; values that differ are parted by ``\``, as in DICOM."""
    found: dict[str, list[str]] = {}
    for one in many:
        for name, text in one.items():
            values = found.setdefault(name, [])
            values += [value for value in text.split("\\") if value and value not in values]
    return {name: "\\".join(values) for name, values in found.items() if values}


def sealed_names(grid: Grid, patients: Collection[str], purpose: str) -> dict[str, dict[str, str]]:
    """What names patients, of those whose seals this user can open."""
    opened = grid.vault.seals.open(patients, purpose)
    return {
        patient: {str(name): str(text) for name, text in names.items()}
        for patient, names in opened.items()
    }


def names_of(grid: Grid, patient: str) -> dict[str, str]:
    """What names one patient.

    Raises
    ------
    Denied
        This user is neither the patient nor of the care team.
    """
    found = sealed_names(grid, [patient], "whois").get(patient)
    if found is None:
        raise Denied(f"the key store does not say who {patient} is")
    return found
