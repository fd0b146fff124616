"""The catalog's tables, but those of jobs (`job_schema`).

What people ask for of an image is a typed, indexed column of ``object``; every other attribute an
importer brings is in its JSON column; attributes given by users are rows of ``attribute``, those of
patients and visits of ``patient_attribute``. Times are float epoch seconds. A patient is known by
pseudonym only.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)
from sqlalchemy.types import TypeDecorator, TypeEngine

__all__ = [
    "JsonText",
    "Text",
    "metadata",
    "access_grant",
    "algorithm",
    "attribute",
    "attribute_name",
    "care",
    "dataset",
    "dataset_member",
    "derivation",
    "derivation_input",
    "derivation_link",
    "derivation_output",
    "grid",
    "held_words",
    "imported",
    "imported_series",
    "merged",
    "object_",
    "object_version",
    "patient",
    "patient_attribute",
    "released_code",
    "removed",
    "replica",
    "scanned_file",
    "sealed_codes",
    "site",
    "storage_element",
    "upload",
    "word_release",
    "worker",
]

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Text(TypeDecorator[str]):
    """Text that sorts by code point on every database, so that both give one order."""

    impl = String
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(String(collation="C"))
        return dialect.type_descriptor(String())


class JsonText(TypeDecorator[Any]):
    """A JSON document: JSONB on PostgreSQL, text on SQLite."""

    impl = JSON
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            from sqlalchemy.dialects.postgresql import JSONB

            return dialect.type_descriptor(JSONB())
        return dialect.type_descriptor(JSON())


grid = Table(
    "grid",
    metadata,
    Column("grid_id", Text, primary_key=True),
    Column("created_s", Double, nullable=False),
)

# -- places ----------------------------------------------------------------------------------------

site = Table(
    "site",
    metadata,
    Column("name", Text, primary_key=True),
    Column("site_class", Text, nullable=False),
)

storage_element = Table(
    "storage_element",
    metadata,
    Column("name", Text, primary_key=True),
    Column("url", Text, nullable=False),
    Column("site", ForeignKey("site.name"), nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("options", JsonText, nullable=False),
)

worker = Table(
    "worker",
    metadata,
    Column("name", Text, primary_key=True),
    Column("url", Text, nullable=False),
    Column("site", ForeignKey("site.name"), nullable=False),
    Column("slots", Integer, nullable=False),
    Column("tags", JsonText, nullable=False),
    Column("memory_bytes", BigInteger),
    Column("enabled", Boolean, nullable=False),
    Column("options", JsonText, nullable=False),
)

# -- objects ---------------------------------------------------------------------------------------

patient = Table(
    "patient",
    metadata,
    Column("pseudonym", Text, primary_key=True),
    Column("visits", Integer, nullable=False, index=True),
)

object_ = Table(
    "object",
    metadata,
    Column("id", Text, primary_key=True),
    # the LFN whose current content this is; NULL for an unregistered output or an older version
    Column("lfn", Text, unique=True),
    Column("version", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("filename", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("created_s", Double, nullable=False),
    Column("data_class", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("digest", Text),  # keyed digest of the content
    Column("review", Text, nullable=False),
    Column("original", Text),  # object id of the original whose de-identified twin this is
    Column("rekeyed_as", Text),  # what the key store calls its key, when that is no more its id
    Column("patient", ForeignKey("patient.pseudonym")),
    Column("patient_sex", Text),
    Column("patient_age", Double),
    Column("study_uid", Text),
    Column("study_date", Text),
    Column("study_description", Text),
    Column("series_uid", Text),
    Column("series_date", Text),
    Column("series_number", BigInteger),
    Column("series_description", Text),
    Column("modality", Text),
    Column("body_part_examined", Text),
    Column("protocol_name", Text),
    Column("manufacturer", Text),
    Column("manufacturer_model_name", Text),
    Column("magnetic_field_strength", Double),
    Column("repetition_time", Double),
    Column("echo_time", Double),
    Column("slice_thickness", Double),
    Column("rows", BigInteger),
    Column("columns", BigInteger),
    Column("number_of_slices", BigInteger),
    Column("number_of_timepoints", BigInteger),
    Column("number_of_frames", BigInteger),
    Column("number_of_instances", BigInteger),
    Column("voxel_size_x", Double),
    Column("voxel_size_y", Double),
    Column("voxel_size_z", Double),
    Column("session", Text),
    Column("task", Text),
    Column("acquisition", Text),
    Column("run", Text),
    Column("suffix", Text),
    Column("datatype", Text),
    Column("attributes", JsonText, nullable=False),
)

_INDEXED_WITH_LFN = [
    ["patient", "study_date"],
    ["patient", "session"],
    ["modality", "body_part_examined", "study_date"],
    ["study_date"],
    ["patient_age"],
    ["series_description", "study_date"],
    ["protocol_name", "study_date"],
    ["study_uid"],
    ["series_uid"],
    ["suffix", "task", "run"],
    ["kind"],
    ["created_s"],
    ["owner"],
    ["original"],
]
for _names in _INDEXED_WITH_LFN:
    # the LFN in the index spares reading the row
    Index(
        f"ix_object_{'_'.join(_names)}",
        *(object_.c[_name] for _name in _names),
        object_.c.lfn,
    )

object_version = Table(
    "object_version",
    metadata,
    # older contents of an LFN; the current one is object.lfn
    Column("lfn", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("object_id", ForeignKey("object.id", ondelete="CASCADE"), nullable=False, unique=True),
    Column("replaced_s", Double, nullable=False),
)

replica = Table(
    "replica",
    metadata,
    Column("object_id", ForeignKey("object.id", ondelete="CASCADE"), primary_key=True),
    Column("se", ForeignKey("storage_element.name"), primary_key=True),
    Column("pfn", Text, primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("created_s", Double, nullable=False),
    Index("ix_replica_se_pfn", "se", "pfn"),
)

upload = Table(
    "upload",
    metadata,
    # bytes that are being written and belong to no registered replica yet; whose they are
    Column("owner", Text, nullable=False),
    Column("se", ForeignKey("storage_element.name"), primary_key=True),
    Column("pfn", Text, primary_key=True),
    Column("object_id", Text, nullable=False, index=True),
    Column("reserved_s", Double, nullable=False),
)

attribute_name = Table(
    "attribute_name",
    metadata,
    # every attribute name in use that is no column, and columns that hold lists for some objects
    Column("name", Text, primary_key=True),
    Column("type", Text, nullable=False),
    Column("place", Text, nullable=False),
    Column("unit", Text),
)

attribute = Table(
    "attribute",
    metadata,
    Column("object_id", ForeignKey("object.id", ondelete="CASCADE"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("num", Double),
    Column("text", Text),
    Index("ix_attribute_name_num_object_id", "name", "num", "object_id"),
    Index("ix_attribute_name_text_object_id", "name", "text", "object_id"),
)

patient_attribute = Table(
    "patient_attribute",
    metadata,
    # what is known of patients and of their visits, and what was; a row without a value says that
    # it was taken away
    Column("patient", ForeignKey("patient.pseudonym", ondelete="CASCADE"), primary_key=True),
    Column("visit", Text, primary_key=True),  # session or study date; empty: of the patient
    Column("name", Text, primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("is_current", Boolean, nullable=False),
    Column("num", Double),
    Column("text", Text),
    Column("source", Text, nullable=False),
    Column("given_by", Text, nullable=False),
    Column("given_s", Double, nullable=False),
    Index("ix_patient_attribute_name_num", "name", "num", "patient", "visit"),
    Index("ix_patient_attribute_name_text", "name", "text", "patient", "visit"),
)

sealed_codes = Table(
    "sealed_codes",
    metadata,
    # what the codes of an attribute mean that stand for its values, sealed to each who may know
    Column("name", Text, primary_key=True),
    Column("reader", Text, primary_key=True),
    Column("sealed", Text, nullable=False),
    Column("given_by", Text, nullable=False),
    Column("given_s", Double, nullable=False),
)

released_code = Table(
    "released_code",
    metadata,
    # what everybody may know of them
    Column("name", Text, primary_key=True),
    Column("code", Text, primary_key=True),
    Column("meaning", Text, nullable=False),
    Column("released_by", Text, nullable=False),
    Column("released_s", Double, nullable=False),
)

# -- who may see -----------------------------------------------------------------------------------
# Looked up for each object that might answer a question: without rowid, the key is the table.

care = Table(
    "care",
    metadata,
    Column("patient", ForeignKey("patient.pseudonym", ondelete="CASCADE"), primary_key=True),
    Column("identity", Text, primary_key=True),
    Column("role", Text, primary_key=True),
    Index("ix_care_identity_role", "identity", "role"),
    sqlite_with_rowid=False,
)

access_grant = Table(
    "access_grant",
    metadata,
    Column("object_id", ForeignKey("object.id", ondelete="CASCADE"), primary_key=True),
    Column("identity", Text, primary_key=True),
    Column("granted_by", Text, primary_key=True),
    Column("dataset", Text, primary_key=True),  # of the giver; empty when it was given by itself
    Column("until_s", Double),
    Column("created_s", Double, nullable=False),
    Index("ix_access_grant_identity_dataset", "identity", "dataset"),
    Index("ix_access_grant_granted_by", "granted_by"),
    sqlite_with_rowid=False,
)

# -- datasets --------------------------------------------------------------------------------------

dataset = Table(
    "dataset",
    metadata,
    # each owner's names are their own, so that no name tells of another's dataset
    Column("owner", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("question", Text, nullable=False),
    Column("frozen", Boolean, nullable=False),
    Column("created_s", Double, nullable=False),
)

dataset_member = Table(
    "dataset_member",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("dataset", Text, primary_key=True),
    Column("lfn", Text, primary_key=True, index=True),
    Column("object_id", Text, nullable=False, index=True),
    ForeignKeyConstraint(
        ["owner", "dataset"], ["dataset.owner", "dataset.name"], ondelete="CASCADE"
    ),
)

# -- provenance ------------------------------------------------------------------------------------
# It outlives the objects it names: their ids are no foreign keys.

algorithm = Table(
    "algorithm",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("descriptor", JsonText, nullable=False),
    Column("bundle_object", Text),
    Column("bundle_sha256", Text),
    Column("created_s", Double, nullable=False),
    UniqueConstraint("name", "version"),
)

derivation = Table(
    "derivation",
    metadata,
    Column("id", Text, primary_key=True),
    Column("owner", Text, nullable=False),  # who asked for it
    Column("algorithm", Text, nullable=False, index=True),
    Column("algorithm_name", Text, nullable=False),
    Column("algorithm_version", Text, nullable=False),
    Column("parameters", JsonText, nullable=False),
    Column("submission", BigInteger),
    Column("job_number", BigInteger),
    Column("worker", Text),
    Column("started_s", Double),
    Column("ended_s", Double),
    Column("exit_code", Integer),
    Index("ix_derivation_algorithm_name", "algorithm_name", "algorithm_version"),
    Index("ix_derivation_submission", "submission", "job_number"),
)

derivation_input = Table(
    "derivation_input",
    metadata,
    Column("derivation", ForeignKey("derivation.id", ondelete="CASCADE"), primary_key=True),
    Column("role", Text, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("object_id", Text, nullable=False),
    Index("ix_derivation_input_object_id", "object_id", "derivation"),
)

derivation_output = Table(
    "derivation_output",
    metadata,
    Column("derivation", ForeignKey("derivation.id", ondelete="CASCADE"), primary_key=True),
    Column("role", Text, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("object_id", Text, nullable=False, unique=True),
)

derivation_link = Table(
    "derivation_link",
    metadata,
    # outputs that come from some inputs of their derivation only
    Column("output_id", Text, primary_key=True),
    Column("input_id", Text, primary_key=True, index=True),
)

# -- import ----------------------------------------------------------------------------------------

scanned_file = Table(
    "scanned_file",
    metadata,
    Column("owner", Text, primary_key=True),  # who read it
    Column("key", Text, primary_key=True),  # keyed digest of the absolute path
    Column("size_bytes", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    Column("inode", BigInteger, nullable=False),
    Column("object_id", Text, index=True),
    Column("outcome", Text, nullable=False),
)

imported = Table(
    "imported",
    metadata,
    # contents that an import has brought, and the original that holds each; see `imported.py`
    Column("lfn", Text, primary_key=True),
    Column("digest", Text, primary_key=True),
    Column("patient", Text, primary_key=True),  # empty when it is no patient's,
    Column("owner", Text, primary_key=True),  # and else this one
    Column(
        "object_id",
        # which is registered later in the same transaction
        ForeignKey("object.id", ondelete="CASCADE", deferrable=True, initially="DEFERRED"),
        nullable=False,
        index=True,
    ),
)

imported_series = Table(
    "imported_series",
    metadata,
    # what an original's series is known by whoever its patient is: a keyed digest of its UIDs
    Column("series", Text, primary_key=True),
    Column(
        "object_id",
        ForeignKey("object.id", ondelete="CASCADE"),
        primary_key=True,
        index=True,
    ),
)

removed = Table(
    "removed",
    metadata,
    # what was imported and then removed by somebody: imports leave it out; see `removed.py`
    Column("patient", Text, primary_key=True),  # empty when it is no patient's,
    Column("owner", Text, primary_key=True),  # and else this one
    Column("spot", Text, primary_key=True),  # LFN of `imported`; empty for a series
    Column("content", Text, primary_key=True),  # keyed digest, or the UIDs of a series
    Column("lfn", Text, nullable=False),  # that it had
    Column("removed_s", Double, nullable=False),
)

merged = Table(
    "merged",
    metadata,
    # patients who turned out to be others, whom images of them are imported as; see `merged.py`
    Column("pseudonym", Text, primary_key=True),
    Column("became", Text, nullable=False, index=True),
    Column("merged_s", Double, nullable=False),
)

# -- words of descriptions -------------------------------------------------------------------------

word_release = Table(
    "word_release",
    metadata,
    # signed documents: words that descriptions of this grid may have; see `crypto/releases.py`
    Column("digest", Text, primary_key=True),
    Column("signer", Text, nullable=False),
    Column("document", Text, nullable=False),
)

held_words = Table(
    "held_words",
    metadata,
    # what was held back of an original's descriptions, sealed; see `crypto/held_words.py`. A row
    # stands for each that was described by the rule of this number, also when nothing was held
    Column("object_id", ForeignKey("object.id", ondelete="CASCADE"), primary_key=True),
    Column("rule", Integer, nullable=False),
    Column("revision", Integer),  # of the patient's compartment; null: sealed to the owner
    Column("sealed", Text, nullable=False),
)
