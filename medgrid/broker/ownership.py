"""Whose the results of jobs are: class, patient and keys of what was made from what."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from medgrid.broker.messages import Collected
from medgrid.catalog.access import AccessStore
from medgrid.catalog.job_desk import JobDesk
from medgrid.catalog.job_moves import AttemptEnd
from medgrid.catalog.objects import ObjectStore, Registration
from medgrid.catalog.provenance import Derivation
from medgrid.crypto.vault import Adopted, Vault, Whose
from medgrid.errors import Denied, IntegrityError
from medgrid.model import DataClass, GridObject, ObjectId, ObjectKind, Replica, Review

__all__ = ["Owners", "Result", "drop_ended", "of_result"]

_TABLES = (".csv", ".tsv", ".json")
_VOLUMES = (".nii", ".nii.gz")


@dataclass(frozen=True, slots=True)
class Result:
    """What the inputs say of an output."""

    data_class: DataClass
    patient: str | None
    review: Review


def of_result(inputs: Iterable[GridObject], *, complete: bool = True) -> Result:
    """Class and patient of what is made from `inputs`.

    It is of a patient when all that is protected among the inputs is of that one; it names somebody
    when one input does. What is made from public objects alone is public. Inputs that are not
    `complete` might have been anything.

    Examples
    --------
    >>> of_result([]).data_class
    <DataClass.PUBLIC: 'public'>
    """
    protected = [one for one in inputs if one.is_protected]
    if complete and not protected:
        return Result(DataClass.PUBLIC, None, Review.NONE)
    patients = {one.patient for one in protected}
    names = not complete or any(one.data_class is DataClass.NOMINATIVE for one in protected)
    unseen = any(one.review is Review.NEEDED for one in protected)
    return Result(
        DataClass.NOMINATIVE if names else DataClass.IMAGE,
        patients.pop() if complete and len(patients) == 1 else None,
        Review.NEEDED if unseen and not names else Review.NONE,
    )


class Owners:
    """Gives outputs to those whose they are.

    Parameters
    ----------
    vault : Vault
        With the broker's identity, which the workers sealed the outputs to.
    """

    def __init__(self, vault: Vault, objects: ObjectStore) -> None:
        self._vault = vault
        self._objects = objects

    def keep(
        self,
        made: Sequence[tuple[Derivation, Sequence[Collected]]],
        owners: Mapping[ObjectId, str],
        access: AccessStore,
    ) -> list[Registration]:
        """Make the keys of outputs last; gives what is to be registered.

        Parameters
        ----------
        owners : mapping
            Who asked for the job, by output.
        access : AccessStore
            Says who is in whose care team.
        """
        outputs = [(one, derivation) for derivation, many in made for one in many]
        results = self._results(made)
        patients = {result.patient for result in results.values() if result.patient}
        care = {
            owner: access.cares_for(patients, owner) if patients else {}
            for owner in set(owners.values())
        }
        new = []
        for one, _ in outputs:
            if one.sealed is not None:
                result, owner = results[one.object_id], owners[one.object_id]
                readers = () if result.patient in care[owner] else (owner,)
                whose = Whose(result.data_class, result.patient, readers)
                new.append(Adopted(one.object_id, whose, one.size_bytes, one.sha256, one.sealed))
        digests = self._vault.adopt(new)
        return [
            _registration(
                one,
                results[one.object_id],
                owners[one.object_id],
                digests.get(one.object_id),
                derivation.ended_s or time.time(),
            )
            for one, derivation in outputs
        ]

    def _results(
        self, made: Sequence[tuple[Derivation, Sequence[Collected]]]
    ) -> dict[ObjectId, Result]:
        """What each output is, by its id."""
        ids = {one for derivation, _ in made for many in derivation.inputs.values() for one in many}
        known = self._objects.by_ids(ids) if ids else {}
        found: dict[ObjectId, Result] = {}
        for derivation, outputs in made:
            every = [one for many in derivation.inputs.values() for one in many]
            for output in outputs:
                sources = derivation.output_inputs.get(output.object_id, every)
                inputs = [known[one] for one in sources if one in known]
                result = of_result(inputs, complete=len(inputs) == len(sources))
                if output.sealed is not None and result.data_class is DataClass.PUBLIC:
                    result = replace(result, data_class=DataClass.IMAGE)
                found[output.object_id] = result
        return found

    def tails(self, end: AttemptEnd, sealed: bytes, owner: str) -> AttemptEnd:
        """The last words of a protected job, for its owner's eyes alone."""
        if not sealed:
            return end
        try:
            told: dict[str, Any] = json.loads(self._vault.open_message(sealed))
        except (Denied, IntegrityError, ValueError):
            return end  # sealed to the broker of an earlier time
        seal = self._vault.seal_text
        return replace(
            end,
            stdout_tail=seal(str(told.get("stdout_tail", "")), owner),
            stderr_tail=seal(
                "\n".join(
                    filter(None, (str(told.get("message", "")), told.get("stderr_tail", "")))
                ),
                owner,
            ),
        )


def drop_ended(desk: JobDesk, vault: Vault) -> None:
    """Forget the keys that were lent to jobs which have ended."""
    for submission, numbers in vault.lent().items():
        some = desk.ended(submission, numbers)
        if some:
            with desk.holding_ended(submission, some) as ended:
                if ended:
                    vault.drop_lent(submission, ended)


def _registration(
    one: Collected, result: Result, owner: str, digest: str | None, created_s: float
) -> Registration:
    name = one.filename.lower()
    kind = ObjectKind.FILE
    if name.endswith(_VOLUMES):
        kind = ObjectKind.VOLUME
    elif name.endswith(_TABLES):
        kind = ObjectKind.TABLE
    return Registration(
        GridObject(
            one.object_id,
            None,
            kind,
            one.filename,
            one.size_bytes,
            one.sha256,
            1,
            created_s,
            data_class=result.data_class,
            owner=owner,
            patient=result.patient,
            digest=digest,
            review=result.review,
        ),
        (Replica(one.object_id, one.se, one.pfn, one.stored_bytes, one.sha256, created_s),),
        patient=result.patient,
    )
