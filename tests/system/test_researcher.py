"""A researcher, from a certificate to a ranked list of similar images, and no further.

Alice, a physician, has a grid; bob gets a home of his own on it. Jobs run over a real sshd.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from tests.lab.niftis import write_nifti
from tests.lab.prompt import ROOT, Prompt, Ran
from tests.lab.sshd import Sshd, physician

PFN = 3  # column of 'replica ls'
SIMILARITY = ROOT / "config/algorithms/similarity.json"


@pytest.fixture
def alice(tmp_path: Path, sshd: Sshd, similarity_wheels: None) -> Iterator[Prompt]:
    """A physician with a grid; jobs run on a host."""
    found = physician(tmp_path / "alice", sshd, SIMILARITY)
    yield found
    found("broker", "stop")


@pytest.fixture
def bob(tmp_path: Path, alice: Prompt) -> Prompt:
    """A researcher who joined, certified by alice's registration key."""
    found = Prompt(
        tmp_path / "bob",
        {
            "MEDGRID_USER": "bob",
            "MEDGRID_CATALOG": f"sqlite:///{alice.home}/catalog.db",
            "MEDGRID_KEYSTORE": f"sqlite:///{alice.home}/keystore.db",
        },
    )
    found.ok("identity", "pin", alice.home / "keys/registration.pub")
    found.ok("identity", "create", "bob", "--no-passphrase")
    request = found.home / "keys/identities/bob.pub"
    alice.ok("identity", "certify", request, "--role", "researcher", "-o", tmp_path)
    alice.ok("identity", "add", tmp_path / "bob.cert")
    return found


def denied(ran: Ran) -> bool:
    """Whether nothing was told but that there is nothing."""
    return ran.code == 4 and ran.out == "" and "no LFN" in ran.err


@pytest.mark.slow
@pytest.mark.sshd
def test_a_grant_from_its_beginning_to_its_end(alice: Prompt, bob: Prompt, tmp_path: Path) -> None:
    study = tmp_path / "study"
    for seed, subject in enumerate(("ann", "ben", "cem")):
        write_nifti(study / f"sub-{subject}/anat/sub-{subject}_T1w.nii.gz", (20, 20, 20), seed)
    imported = alice.ok("import", study, "--to", "/trial").lines
    source, *targets = sorted(imported)
    alice.ok("query", "/trial and suffix=T1w", "--save", "ms-trial")

    # before the grant the researcher's grid is empty
    assert bob.ok("query", "/").lines == []
    assert bob.ok("query", "/", "--explain").lines != []
    assert denied(bob("fetch", source, "--dir", tmp_path / "none"))

    alice.ok("grant", "bob", "--dataset", "ms-trial", "--for", "30d")
    assert bob.ok("query", "suffix=T1w").lines == sorted(imported)
    assert bob.ok("query", "class=nominative").lines == []

    words = ["similarity", "-", "--with", f"source={source}"]
    ids = bob.ok("submit", *words, stdin="".join(f"{one}\n" for one in targets)).lines
    assert alice("status", ids[0]).code == 4  # jobs are their owner's
    alice.ok("broker", "once")
    ended = bob("status", *ids, "--wait")
    assert ended.code == 0, ended.err
    out = tmp_path / "out"
    bob.ok("fetch", *ids, "--dir", out)
    assert sorted(path.name for path in out.rglob("*.json")) == ["measures.json"] * 2
    bob.ok("register", *ids, "--to", "/bob/results")
    ranked = bob.ok("query", "algorithm=similarity", "--columns", "nmi", "--sort", "-nmi").rows
    assert len(ranked) == 2 and all(float(row[1]) > 0 for row in ranked)
    # what several patients' images went into is nobody's but its owner's
    assert alice.ok("query", "/bob").lines == []

    alice.ok("revoke", "bob", "--dataset", "ms-trial")
    assert denied(bob("fetch", source, "--dir", tmp_path / "later"))
    assert not list((tmp_path / "later").rglob("*.nii*"))
    assert bob.ok("query", "suffix=T1w").lines == []
    assert bob("submit", *words, stdin=f"{targets[0]}\n").code == 4
    # their own results stay theirs
    assert len(bob.ok("query", "/bob").lines) == 2
    assert alice.ok("audit", "verify").code == 0


@pytest.mark.slow
@pytest.mark.sshd
def test_a_kept_header_opens_nothing_after_rekey(
    alice: Prompt, bob: Prompt, tmp_path: Path
) -> None:
    study = tmp_path / "study"
    write_nifti(study / "sub-ann/anat/sub-ann_T1w.nii.gz")
    (lfn,) = alice.ok("import", study, "--to", "/trial").lines
    alice.ok("grant", "bob", lfn)
    kept = tmp_path / "kept"
    shutil.copy(alice.home / "keystore.db", kept)
    (before,) = alice.ok("replica", "ls", lfn).rows
    alice.ok("rekey", lfn)
    (after,) = alice.ok("replica", "ls", lfn).rows
    storage = alice.home / "storage"
    assert not list(storage.rglob(Path(before[PFN]).name))
    assert list(storage.rglob(Path(after[PFN]).name))
    bob.ok("fetch", lfn, "--dir", tmp_path / "new")  # the grant holds

    # the catalog of today and the key store of yesterday do not go together
    old = {**bob.env, "MEDGRID_KEYSTORE": f"sqlite:///{kept}"}
    ran = Prompt(bob.home, old)("fetch", lfn, "--dir", tmp_path / "old")
    assert ran.code in (5, 6)
    assert not list((tmp_path / "old").rglob("*.nii*"))


@pytest.mark.sshd
def test_the_physician_alone_finds_her_by_name(alice: Prompt, bob: Prompt, tmp_path: Path) -> None:
    folder = tmp_path / "mr"
    folder.mkdir()
    shutil.copy(str(get_testdata_file("MR_small.dcm")), folder)
    (lfn,) = alice.ok("import", folder, "--to", "/trial").lines
    patient = lfn.split("/")[2]
    (who,) = alice.ok("whois", patient, "--json").documents
    name = who["names"]["PatientName"]
    assert alice.ok("query", f"PatientName='{name}'").lines == [lfn]
    alice.ok("grant", "bob", lfn)
    assert bob.ok("query", "Modality=MR").lines == [lfn]
    for question in (f"PatientName='{name}'", "PatientName~'*'", "PatientName is known"):
        ran = bob("query", question)
        assert (ran.code, ran.out, ran.err) == (0, "", "")
    missing = bob("whois", "P-0000000000")
    refused = bob("whois", patient)
    assert refused.code == missing.code == 4
    assert refused.err.replace(patient, "P-0000000000") == missing.err
