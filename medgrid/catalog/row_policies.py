"""Who may see and change which rows, as PostgreSQL is to hold it: tables, functions, policies.

Policies say what `medgrid.catalog.sight` says, for the role that is connected (``session_user``,
which a connection cannot change), whatever statements it sends. Policies that would ask each other
in a circle ask functions instead, which run as the grid's group role; each of them answers for the
connected role alone, so that calling one by hand tells no more than a question would. Provenance
asks functions too: policies inside policies inside policies take seconds to plan.
"""

# ruff: noqa: S608 - made of this file's own words

from __future__ import annotations

from dataclasses import dataclass

from medgrid.catalog.visits import visits_of

__all__ = ["FUNCTIONS", "GUARDED", "OPEN", "SCHEMA", "SEQUENCES", "VIEWER", "Guard"]

SCHEMA = "medgrid"
"""Schema of the functions."""

_ME = "session_user::text"
_OWN = f"owner = {_ME}"

_CARES = f"EXISTS (SELECT 1 FROM care c WHERE c.patient = {{of}}.patient AND c.identity = {_ME})"
_PHYSICIAN = (
    f"EXISTS (SELECT 1 FROM care c WHERE c.patient = {{of}}.patient AND c.identity = {_ME}"
    " AND c.role = 'physician')"
)
_GRANTED = (
    "EXISTS (SELECT 1 FROM access_grant g WHERE g.object_id = {of}.id"
    f" AND g.identity = {_ME}"
    " AND (g.until_s IS NULL OR g.until_s > extract(epoch FROM clock_timestamp())))"
)
_SEES = (
    f"({{of}}.data_class = 'public' OR {{of}}.owner = {_ME} OR {_CARES}"
    f" OR ({{of}}.data_class = 'image' AND {{of}}.review <> 'needed' AND {_GRANTED}))"
)
_WRITES = f"({{of}}.owner = {_ME} OR {_PHYSICIAN})"
_ATTACHES = "(patient IS NULL OR medgrid.attaches(patient))"

_MARKS = f"({_OWN} AND patient = '') OR (patient <> '' AND medgrid.brings(patient))"
_GIVEN = "unnest($1, $2, $3, $4, $5) WITH ORDINALITY AS g(patient, visit, name, num, text, place)"
_KEPT = "(a.patient, a.visit, a.name) = (g.patient, g.visit, g.name)"

_CLAIMS = "(g.patient = '' OR medgrid.brings(g.patient))"
_CLAIMANT = f"CASE g.patient WHEN '' THEN {_ME} ELSE '' END"
_CLAIMED = f"(i.lfn, i.digest, i.patient) = (g.lfn, g.digest, g.patient) AND i.owner = {_CLAIMANT}"


def _object(column: str, condition: str = "true") -> str:
    """Whether the object that `column` of a row names is seen, and `condition` holds for it."""
    return f"EXISTS (SELECT 1 FROM object o WHERE o.id = {column} AND {condition})"


def _submission(table: str) -> str:
    return f"EXISTS (SELECT 1 FROM submission s WHERE s.id = {table}.submission)"


_WRITTEN = _WRITES.format(of="o")


@dataclass(frozen=True, slots=True)
class Guard:
    """What a user's role may do with the rows of a table; None is nothing.

    Attributes
    ----------
    see, add, change, remove : str or None
        Conditions of SELECT, INSERT, UPDATE and DELETE.
    fixed : tuple of str
        Columns that UPDATE may not set.
    keep : str or None
        What must hold of a row after UPDATE; `change` when None.
    """

    see: str | None = None
    add: str | None = None
    change: str | None = None
    remove: str | None = None
    fixed: tuple[str, ...] = ()
    keep: str | None = None


_FIXED_OF_OBJECT = ("id", "owner", "data_class", "original", "created_s")
"""What nobody changes of an object that is there."""

GUARDED: dict[str, Guard] = {
    "patient": Guard(see=_CARES.format(of="patient").replace("patient.patient", "pseudonym")),
    "object": Guard(
        see=_SEES.format(of="object"),
        add=f"({_OWN} AND {_ATTACHES})"
        " OR (owner = '' AND patient IS NOT NULL AND medgrid.brings(patient))",
        change=_WRITES.format(of="object"),
        keep=f"{_WRITES.format(of='object')} AND {_ATTACHES}",
        remove=_WRITES.format(of="object"),
        fixed=_FIXED_OF_OBJECT,
    ),
    "object_version": Guard(
        see=_object("object_id"),
        add=_object("object_id", _WRITTEN),
        change=_object("object_id", _WRITTEN),
        remove=_object("object_id", _WRITTEN),
    ),
    "replica": Guard(
        see=_object("object_id"),
        add=f"{_object('object_id', _WRITTEN)} OR medgrid.brought(object_id)",
        remove=_object("object_id", _WRITTEN),
    ),
    "attribute": Guard(
        see=_object("object_id"),
        add=f"{_object('object_id', _WRITTEN)} OR medgrid.brought(object_id)",
        remove=_object("object_id", _WRITTEN),
    ),
    "patient_attribute": Guard(
        see=f"{_CARES.format(of='patient_attribute')} OR EXISTS (SELECT 1 FROM object o"
        " WHERE o.patient = patient_attribute.patient"
        " AND patient_attribute.visit IN ('', o.session, o.study_date))",
        remove="medgrid.is_physician(patient)",
    ),
    "sealed_codes": Guard(
        see=f"reader = {_ME} OR medgrid.reads_codes(name)",
        add=f"given_by = {_ME} AND medgrid.seals_codes(name)",
        change="medgrid.reads_codes(name)",
        keep=f"given_by = {_ME} AND medgrid.reads_codes(name)",
        fixed=("name", "reader"),
    ),
    "released_code": Guard(see="true", add=f"released_by = {_ME} AND medgrid.reads_codes(name)"),
    "upload": Guard(see=_OWN, add=_OWN, change=_OWN, remove=_OWN),
    "care": Guard(
        see=f"identity = {_ME} OR medgrid.cares(patient)",
        add="medgrid.is_physician(patient) OR medgrid.begins(patient)",
        remove="medgrid.is_physician(patient)",
    ),
    "access_grant": Guard(
        see=f"identity = {_ME} OR granted_by = {_ME} OR medgrid.physician_of(object_id)",
        add=f"granted_by = {_ME} AND medgrid.grants(object_id)",
        change=f"granted_by = {_ME} AND medgrid.grants(object_id)",
        remove=f"granted_by = {_ME} OR medgrid.physician_of(object_id)",
        fixed=("object_id", "identity", "granted_by", "dataset", "created_s"),
    ),
    "dataset": Guard(see=_OWN, add=_OWN, change=_OWN, remove=_OWN),
    "dataset_member": Guard(see=_OWN, add=_OWN, change=_OWN, remove=_OWN),
    "scanned_file": Guard(see=_OWN, add=_OWN, change=_OWN, remove=_OWN),
    "imported": Guard(see=_object("object_id"), remove=_object("object_id", _WRITTEN)),
    "imported_series": Guard(
        see=_object("object_id"),
        add=f"{_object('object_id', _WRITTEN)} OR medgrid.brought(object_id)",
        remove=_object("object_id", _WRITTEN),
    ),
    "removed": Guard(see=_MARKS, add=_MARKS, remove=_MARKS),
    "merged": Guard(
        see="medgrid.cares(pseudonym) OR medgrid.cares(became) OR medgrid.brings(became)",
        add="medgrid.is_physician(pseudonym) AND medgrid.is_physician(became)",
        change="medgrid.is_physician(became)",
        remove="medgrid.is_physician(became)",
        fixed=("pseudonym",),
    ),
    "held_words": Guard(
        see=_object("object_id"),
        add=f"{_object('object_id', _WRITTEN)} OR medgrid.brought(object_id)",
        remove=_object("object_id", _WRITTEN),
    ),
    "derivation": Guard(see=f"{_OWN} OR medgrid.made_something(id)", add=_OWN),
    "derivation_input": Guard(
        see="medgrid.asked_for(derivation)"
        " OR (medgrid.sees(object_id) AND medgrid.made_something(derivation))",
        add="medgrid.asked_for(derivation)",
    ),
    "derivation_output": Guard(
        see="medgrid.asked_for(derivation) OR medgrid.sees(object_id)",
        add=f"medgrid.asked_for(derivation) AND {_object('object_id', _WRITTEN)}",
    ),
    "derivation_link": Guard(
        see="(medgrid.sees(output_id) AND medgrid.sees(input_id))"
        " OR medgrid.asked_for_output(output_id)",
        add=_object("output_id", _WRITTEN),
    ),
    "submission": Guard(see=_OWN, add=_OWN),
    "job": Guard(
        see=_submission("job"),
        add=_submission("job"),
        change=_submission("job"),
        fixed=("submission", "number", "own_inputs"),
    ),
    "quota": Guard(see=_OWN),
    "usage": Guard(see=_OWN),
    "job_attempt": Guard(see=_submission("job_attempt")),
    "job_event": Guard(see=_submission("job_event"), add=_submission("job_event")),
}
"""Tables that hold data of patients or jobs."""

OPEN: dict[str, str] = {
    "alembic_version": "SELECT",
    "grid": "SELECT",
    "site": "SELECT",
    "storage_element": "SELECT",
    "worker": "SELECT",
    "worker_link": "SELECT",
    "worker_health": "SELECT",
    "lease": "SELECT",
    "algorithm": "SELECT, INSERT",
    "word_release": "SELECT, INSERT",
    "attribute_name": "SELECT, INSERT, UPDATE",
}
"""What users may do with the other tables: places, programs, names of attributes."""

SEQUENCES = ("submission_id_seq", "job_event_id_seq")

VIEWER = f"""
SELECT CASE WHEN row_security_active('{{tables}}.object')
    AND NOT pg_has_role(session_user, {{grid}}, 'MEMBER') THEN {_ME} END
"""
"""Body of the function that says whose rows the connection sees; NULL is everybody's."""

FUNCTIONS: dict[str, str] = {
    # each runs as the grid's group role, which sees all rows, and answers for who is connected
    "cares(patient text) RETURNS boolean": f"""
SELECT EXISTS (SELECT 1 FROM care c WHERE c.patient = $1 AND c.identity = {_ME})
""",
    "is_physician(patient text) RETURNS boolean": f"""
SELECT EXISTS (SELECT 1 FROM care c
    WHERE c.patient = $1 AND c.identity = {_ME} AND c.role = 'physician')
""",
    "begins(patient text) RETURNS boolean": """
SELECT (pg_has_role(session_user, {physician}, 'MEMBER')
        OR pg_has_role(session_user, {registrar}, 'MEMBER'))
    AND NOT EXISTS (SELECT 1 FROM care c WHERE c.patient = $1)
""",
    "brings(patient text) RETURNS boolean": """
SELECT pg_has_role(session_user, {registrar}, 'MEMBER')
    OR medgrid.begins($1) OR medgrid.is_physician($1)
""",
    "brought(object_id text) RETURNS boolean": """
SELECT pg_has_role(session_user, {registrar}, 'MEMBER')
    AND EXISTS (SELECT 1 FROM object o WHERE o.id = $1 AND o.owner = '')
""",
    "attaches(patient text) RETURNS boolean": f"""
SELECT medgrid.brings($1)
    OR EXISTS (SELECT 1 FROM object o WHERE o.patient = $1 AND {_SEES.format(of="o")})
""",
    "physician_of(object_id text) RETURNS boolean": f"""
SELECT EXISTS (SELECT 1 FROM object o WHERE o.id = $1 AND {_PHYSICIAN.format(of="o")})
""",
    "grants(object_id text) RETURNS boolean": f"""
SELECT EXISTS (SELECT 1 FROM object o WHERE o.id = $1
    AND o.data_class = 'image' AND o.review <> 'needed'
    AND ({_PHYSICIAN.format(of="o")} OR (o.patient IS NULL AND o.owner = {_ME}
         AND pg_has_role(session_user, {{physician}}, 'MEMBER'))))
""",
    "asked_for(derivation text) RETURNS boolean": f"""
SELECT EXISTS (SELECT 1 FROM derivation d WHERE d.id = $1 AND d.owner = {_ME})
""",
    "asked_for_output(object_id text) RETURNS boolean": f"""
SELECT EXISTS (SELECT 1 FROM derivation_output x JOIN derivation d ON d.id = x.derivation
    WHERE x.object_id = $1 AND d.owner = {_ME})
""",
    "sees(object_id text) RETURNS boolean": f"""
SELECT EXISTS (SELECT 1 FROM object o WHERE o.id = $1 AND {_SEES.format(of="o")})
""",
    "made_something(derivation text) RETURNS boolean": f"""
SELECT EXISTS (SELECT 1 FROM derivation_output x JOIN object o ON o.id = x.object_id
    WHERE x.derivation = $1 AND {_SEES.format(of="o")})
""",
    "is_linked(output_id text) RETURNS boolean": """
SELECT (medgrid.sees($1) OR medgrid.asked_for_output($1))
    AND EXISTS (SELECT 1 FROM derivation_link l WHERE l.output_id = $1)
""",
    "names_taken(lfns text[]) RETURNS SETOF text": """
SELECT o.lfn FROM unnest($1) AS given(lfn) JOIN object o ON o.lfn = given.lfn
""",
    "folders_of(lfns text[]) RETURNS SETOF text": """
SELECT given.lfn FROM unnest($1) AS given(lfn) WHERE (
    SELECT o.lfn FROM object o WHERE o.lfn > given.lfn || '/' COLLATE "C" ORDER BY o.lfn LIMIT 1
) < given.lfn || '0' COLLATE "C"
""",
    "claim_contents(lfns text[], digests text[], patients text[], objects text[])"
    " RETURNS TABLE (place bigint, object_id text)": f"""
INSERT INTO imported (lfn, digest, patient, owner, object_id)
SELECT g.lfn, g.digest, g.patient, {_CLAIMANT}, g.id
FROM unnest($1, $2, $3, $4) AS g(lfn, digest, patient, id)
WHERE {_CLAIMS}
ORDER BY g.lfn, g.patient, g.digest
ON CONFLICT (lfn, digest, patient, owner) DO UPDATE SET object_id = imported.object_id;
UPDATE imported i SET object_id = g.id
FROM unnest($1, $2, $3, $4) AS g(lfn, digest, patient, id)
WHERE {_CLAIMED} AND {_CLAIMS}
    AND NOT EXISTS (SELECT 1 FROM object o WHERE o.id = i.object_id AND o.lfn IS NOT NULL
        AND o.digest = i.digest AND coalesce(o.patient, '') = i.patient);
SELECT g.place, i.object_id
FROM unnest($1, $2, $3, $4) WITH ORDINALITY AS g(lfn, digest, patient, id, place)
JOIN imported i ON {_CLAIMED}
WHERE i.object_id <> g.id AND {_CLAIMS}
""",
    "inherit_grants(ids text[]) RETURNS void": """
INSERT INTO access_grant (object_id, identity, granted_by, dataset, until_s, created_s)
SELECT n.id, g.identity, g.granted_by, g.dataset, g.until_s, g.created_s
FROM unnest($1) AS given(id) JOIN object n ON n.id = given.id
    JOIN object o ON o.id = (
        SELECT b.id FROM object_version v JOIN object b ON b.id = v.object_id
        WHERE v.lfn = n.lfn AND v.version < n.version AND b.review <> 'needed'
        ORDER BY v.version DESC LIMIT 1)
    JOIN access_grant g ON g.object_id = o.id
WHERE (medgrid.grants(n.id) OR medgrid.brought(n.id)) AND n.review <> 'needed'
    AND n.data_class = 'image' AND o.data_class = 'image'
    AND coalesce(n.patient, '') = coalesce(o.patient, '') AND n.owner = o.owner
    AND (g.until_s IS NULL OR g.until_s > extract(epoch FROM clock_timestamp()))
ON CONFLICT DO NOTHING
""",
    "take_over_grants(old text, new text) RETURNS void": """
INSERT INTO access_grant (object_id, identity, granted_by, dataset, until_s, created_s)
SELECT $2, g.identity, g.granted_by, g.dataset, g.until_s, g.created_s
FROM access_grant g
WHERE g.object_id = $1 AND medgrid.grants($1) AND medgrid.grants($2)
    AND (g.until_s IS NULL OR g.until_s > extract(epoch FROM clock_timestamp()))
ON CONFLICT DO NOTHING
""",
    "hold_patients(pseudonyms text[]) RETURNS void": """
INSERT INTO patient (pseudonym, visits) SELECT one, 0 FROM unnest($1) AS given(one) ORDER BY one
ON CONFLICT (pseudonym) DO UPDATE SET visits = patient.visits
""",
    "give_attributes(patients text[], visits text[], names text[], nums double precision[],"
    " texts text[], source text) RETURNS SETOF bigint": f"""
WITH given AS MATERIALIZED (
    SELECT g.* FROM {_GIVEN}
    WHERE medgrid.brings(g.patient) AND ($6 = '' OR NOT coalesce((
        SELECT (a.num, a.text) IS NOT DISTINCT FROM (g.num, g.text) FROM patient_attribute a
        WHERE {_KEPT} AND a.source = $6 ORDER BY a.revision DESC LIMIT 1), false))
), before AS MATERIALIZED (
    SELECT g.place, a.revision, a.num, a.text FROM given g
    JOIN patient_attribute a ON {_KEPT} AND a.is_current
), fresh AS MATERIALIZED (
    SELECT g.*, b.revision, (b.num IS NOT NULL OR b.text IS NOT NULL) AS replaces
    FROM given g LEFT JOIN before b USING (place)
    WHERE (g.num, g.text) IS DISTINCT FROM (b.num, b.text)
), ended AS (
    UPDATE patient_attribute a SET is_current = false FROM fresh g
    WHERE {_KEPT} AND a.is_current
), added AS (
    INSERT INTO patient_attribute
        (patient, visit, name, revision, is_current, num, text, source, given_by, given_s)
    SELECT patient, visit, name, coalesce(revision, 0) + 1, true, num, text, $6, {_ME},
        extract(epoch FROM clock_timestamp())
    FROM fresh
)
SELECT place * CASE WHEN replaces THEN -1 ELSE 1 END FROM fresh
""",
    "reads_codes(name text) RETURNS boolean": f"""
SELECT EXISTS (SELECT 1 FROM sealed_codes s WHERE s.name = $1 AND s.reader = {_ME})
""",
    "seals_codes(name text) RETURNS boolean": f"""
SELECT medgrid.reads_codes($1)
    OR NOT EXISTS (SELECT 1 FROM sealed_codes s WHERE s.name = $1 AND s.given_by <> {_ME})
""",
    "count_visits(pseudonyms text[]) RETURNS void": f"""
UPDATE patient SET visits = {visits_of("patient.pseudonym")}
WHERE pseudonym = ANY ($1)
""",
}
