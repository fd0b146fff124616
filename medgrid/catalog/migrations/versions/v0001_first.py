"""Make the tables of the first catalog."""

import sqlalchemy as sa
from alembic import op

from medgrid.catalog.schema import JsonText, Text

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make all tables."""
    op.create_table(
        "algorithm",
        sa.Column("digest", Text(), nullable=False),
        sa.Column("name", Text(), nullable=False),
        sa.Column("version", Text(), nullable=False),
        sa.Column("descriptor", JsonText(), nullable=False),
        sa.Column("bundle_object", Text(), nullable=True),
        sa.Column("bundle_sha256", Text(), nullable=True),
        sa.Column("created_s", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_algorithm")),
        sa.UniqueConstraint("name", "version", name=op.f("uq_algorithm_name_version")),
    )
    op.create_table(
        "attribute_name",
        sa.Column("name", Text(), nullable=False),
        sa.Column("type", Text(), nullable=False),
        sa.Column("place", Text(), nullable=False),
        sa.Column("unit", Text(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_attribute_name")),
    )
    op.create_table(
        "dataset",
        sa.Column("owner", Text(), nullable=False),
        sa.Column("name", Text(), nullable=False),
        sa.Column("question", Text(), nullable=False),
        sa.Column("frozen", sa.Boolean(), nullable=False),
        sa.Column("created_s", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "name", name=op.f("pk_dataset")),
    )
    op.create_table(
        "derivation",
        sa.Column("id", Text(), nullable=False),
        sa.Column("owner", Text(), nullable=False),
        sa.Column("algorithm", Text(), nullable=False),
        sa.Column("algorithm_name", Text(), nullable=False),
        sa.Column("algorithm_version", Text(), nullable=False),
        sa.Column("parameters", JsonText(), nullable=False),
        sa.Column("submission", sa.BigInteger(), nullable=True),
        sa.Column("job_number", sa.BigInteger(), nullable=True),
        sa.Column("worker", Text(), nullable=True),
        sa.Column("started_s", sa.Double(), nullable=True),
        sa.Column("ended_s", sa.Double(), nullable=True),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_derivation")),
    )
    op.create_index(op.f("ix_derivation_algorithm"), "derivation", ["algorithm"], unique=False)
    op.create_index(
        "ix_derivation_algorithm_name",
        "derivation",
        ["algorithm_name", "algorithm_version"],
        unique=False,
    )
    op.create_index(
        "ix_derivation_submission", "derivation", ["submission", "job_number"], unique=False
    )
    op.create_table(
        "derivation_link",
        sa.Column("output_id", Text(), nullable=False),
        sa.Column("input_id", Text(), nullable=False),
        sa.PrimaryKeyConstraint("output_id", "input_id", name=op.f("pk_derivation_link")),
    )
    op.create_index(
        op.f("ix_derivation_link_input_id"), "derivation_link", ["input_id"], unique=False
    )
    op.create_table(
        "grid",
        sa.Column("grid_id", Text(), nullable=False),
        sa.Column("created_s", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("grid_id", name=op.f("pk_grid")),
    )
    op.create_table(
        "lease",
        sa.Column("name", Text(), nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("holder", Text(), nullable=False),
        sa.Column("process", Text(), nullable=False),
        sa.Column("since_s", sa.Double(), nullable=False),
        sa.Column("heartbeat_s", sa.Double(), nullable=False),
        sa.Column("stop_asked", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_lease")),
    )
    op.create_table(
        "patient",
        sa.Column("pseudonym", Text(), nullable=False),
        sa.Column("visits", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("pseudonym", name=op.f("pk_patient")),
    )
    op.create_index(op.f("ix_patient_visits"), "patient", ["visits"], unique=False)
    op.create_table(
        "quota",
        sa.Column("owner", Text(), nullable=False),
        sa.Column("slots", sa.Integer(), nullable=True),
        sa.Column("jobs", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("owner", name=op.f("pk_quota")),
    )
    op.create_table(
        "scanned_file",
        sa.Column("owner", Text(), nullable=False),
        sa.Column("key", Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("mtime_ns", sa.BigInteger(), nullable=False),
        sa.Column("inode", sa.BigInteger(), nullable=False),
        sa.Column("object_id", Text(), nullable=True),
        sa.Column("outcome", Text(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "key", name=op.f("pk_scanned_file")),
    )
    op.create_table(
        "site",
        sa.Column("name", Text(), nullable=False),
        sa.Column("site_class", Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_site")),
    )
    op.create_table(
        "submission",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", Text(), nullable=False),
        sa.Column("owner", Text(), nullable=False),
        sa.Column("algorithm", Text(), nullable=False),
        sa.Column("algorithm_label", Text(), nullable=False),
        sa.Column("parameters", JsonText(), nullable=False),
        sa.Column("inputs", JsonText(), nullable=False),
        sa.Column("item_role", Text(), nullable=True),
        sa.Column("se", Text(), nullable=True),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("created_s", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_submission")),
    )
    op.create_index(
        "ix_submission_owner_created_s", "submission", ["owner", "created_s"], unique=False
    )
    op.create_table(
        "usage",
        sa.Column("owner", Text(), nullable=False),
        sa.Column("slot_s", sa.Double(), nullable=False),
        sa.Column("at_s", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("owner", name=op.f("pk_usage")),
    )
    op.create_table(
        "worker_health",
        sa.Column("worker", Text(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("outages", sa.Integer(), nullable=False),
        sa.Column("since_s", sa.Double(), nullable=False),
        sa.Column("until_s", sa.Double(), nullable=False),
        sa.Column("reason", Text(), nullable=False),
        sa.PrimaryKeyConstraint("worker", name=op.f("pk_worker_health")),
    )
    op.create_table(
        "worker_link",
        sa.Column("worker", Text(), nullable=False),
        sa.Column("agent_id", Text(), nullable=True),
        sa.Column("journal_offset", sa.BigInteger(), nullable=False),
        sa.Column("info", JsonText(), nullable=False),
        sa.Column("down_since_s", sa.Double(), nullable=True),
        sa.Column("reason", Text(), nullable=False),
        sa.Column("lost_at_s", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("worker", name=op.f("pk_worker_link")),
    )
    op.create_table(
        "care",
        sa.Column("patient", Text(), nullable=False),
        sa.Column("identity", Text(), nullable=False),
        sa.Column("role", Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["patient"], ["patient.pseudonym"], name=op.f("fk_care_patient"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("patient", "identity", "role", name=op.f("pk_care")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_care_identity_role", "care", ["identity", "role"], unique=False)
    op.create_table(
        "dataset_member",
        sa.Column("owner", Text(), nullable=False),
        sa.Column("dataset", Text(), nullable=False),
        sa.Column("lfn", Text(), nullable=False),
        sa.Column("object_id", Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["owner", "dataset"],
            ["dataset.owner", "dataset.name"],
            name=op.f("fk_dataset_member_owner"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("owner", "dataset", "lfn", name=op.f("pk_dataset_member")),
    )
    op.create_index(
        op.f("ix_dataset_member_object_id"), "dataset_member", ["object_id"], unique=False
    )
    op.create_table(
        "derivation_input",
        sa.Column("derivation", Text(), nullable=False),
        sa.Column("role", Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("object_id", Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["derivation"],
            ["derivation.id"],
            name=op.f("fk_derivation_input_derivation"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("derivation", "role", "position", name=op.f("pk_derivation_input")),
    )
    op.create_index(
        op.f("ix_derivation_input_object_id"), "derivation_input", ["object_id"], unique=False
    )
    op.create_table(
        "derivation_output",
        sa.Column("derivation", Text(), nullable=False),
        sa.Column("role", Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("object_id", Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["derivation"],
            ["derivation.id"],
            name=op.f("fk_derivation_output_derivation"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "derivation", "role", "position", name=op.f("pk_derivation_output")
        ),
        sa.UniqueConstraint("object_id", name=op.f("uq_derivation_output_object_id")),
    )
    op.create_table(
        "job",
        sa.Column("submission", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("own_inputs", JsonText(), nullable=False),
        sa.Column("state", Text(), nullable=False),
        sa.Column("reason", Text(), nullable=False),
        sa.Column("cause", Text(), nullable=True),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("old_attempts", sa.Integer(), nullable=False),
        sa.Column("preemptions", sa.Integer(), nullable=False),
        sa.Column("strikes", sa.Integer(), nullable=False),
        sa.Column("worker", Text(), nullable=True),
        sa.Column("cancel_asked", sa.Boolean(), nullable=False),
        sa.Column("not_before_s", sa.Double(), nullable=False),
        sa.Column("updated_s", sa.Double(), nullable=False),
        sa.Column("started_s", sa.Double(), nullable=True),
        sa.Column("suspended_s", sa.Double(), nullable=True),
        sa.Column("paused_s", sa.Double(), nullable=False),
        sa.Column("ended_s", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["submission"], ["submission.id"], name=op.f("fk_job_submission")),
        sa.PrimaryKeyConstraint("submission", "number", name=op.f("pk_job")),
    )
    op.create_index(
        "ix_job_state_submission_number", "job", ["state", "submission", "number"], unique=False
    )
    op.create_table(
        "object",
        sa.Column("id", Text(), nullable=False),
        sa.Column("lfn", Text(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("kind", Text(), nullable=False),
        sa.Column("filename", Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", Text(), nullable=False),
        sa.Column("created_s", sa.Double(), nullable=False),
        sa.Column("data_class", Text(), nullable=False),
        sa.Column("owner", Text(), nullable=False),
        sa.Column("digest", Text(), nullable=True),
        sa.Column("review", Text(), nullable=False),
        sa.Column("original", Text(), nullable=True),
        sa.Column("rekeyed_as", Text(), nullable=True),
        sa.Column("patient", Text(), nullable=True),
        sa.Column("patient_sex", Text(), nullable=True),
        sa.Column("patient_age", sa.Double(), nullable=True),
        sa.Column("study_uid", Text(), nullable=True),
        sa.Column("study_date", Text(), nullable=True),
        sa.Column("study_description", Text(), nullable=True),
        sa.Column("series_uid", Text(), nullable=True),
        sa.Column("series_date", Text(), nullable=True),
        sa.Column("series_number", sa.BigInteger(), nullable=True),
        sa.Column("series_description", Text(), nullable=True),
        sa.Column("modality", Text(), nullable=True),
        sa.Column("body_part_examined", Text(), nullable=True),
        sa.Column("protocol_name", Text(), nullable=True),
        sa.Column("manufacturer", Text(), nullable=True),
        sa.Column("manufacturer_model_name", Text(), nullable=True),
        sa.Column("magnetic_field_strength", sa.Double(), nullable=True),
        sa.Column("repetition_time", sa.Double(), nullable=True),
        sa.Column("echo_time", sa.Double(), nullable=True),
        sa.Column("slice_thickness", sa.Double(), nullable=True),
        sa.Column("rows", sa.BigInteger(), nullable=True),
        sa.Column("columns", sa.BigInteger(), nullable=True),
        sa.Column("number_of_slices", sa.BigInteger(), nullable=True),
        sa.Column("number_of_timepoints", sa.BigInteger(), nullable=True),
        sa.Column("number_of_frames", sa.BigInteger(), nullable=True),
        sa.Column("number_of_instances", sa.BigInteger(), nullable=True),
        sa.Column("voxel_size_x", sa.Double(), nullable=True),
        sa.Column("voxel_size_y", sa.Double(), nullable=True),
        sa.Column("voxel_size_z", sa.Double(), nullable=True),
        sa.Column("session", Text(), nullable=True),
        sa.Column("task", Text(), nullable=True),
        sa.Column("acquisition", Text(), nullable=True),
        sa.Column("run", Text(), nullable=True),
        sa.Column("suffix", Text(), nullable=True),
        sa.Column("datatype", Text(), nullable=True),
        sa.Column("attributes", JsonText(), nullable=False),
        sa.ForeignKeyConstraint(["patient"], ["patient.pseudonym"], name=op.f("fk_object_patient")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_object")),
        sa.UniqueConstraint("lfn", name=op.f("uq_object_lfn")),
    )
    op.create_index("ix_object_created_s", "object", ["created_s", "lfn"], unique=False)
    op.create_index("ix_object_kind", "object", ["kind", "lfn"], unique=False)
    op.create_index(
        "ix_object_modality_body_part_examined_study_date",
        "object",
        ["modality", "body_part_examined", "study_date", "lfn"],
        unique=False,
    )
    op.create_index("ix_object_original", "object", ["original", "lfn"], unique=False)
    op.create_index("ix_object_owner", "object", ["owner", "lfn"], unique=False)
    op.create_index("ix_object_patient_age", "object", ["patient_age", "lfn"], unique=False)
    op.create_index(
        "ix_object_patient_study_date", "object", ["patient", "study_date", "lfn"], unique=False
    )
    op.create_index(
        "ix_object_protocol_name_study_date",
        "object",
        ["protocol_name", "study_date", "lfn"],
        unique=False,
    )
    op.create_index(
        "ix_object_series_description_study_date",
        "object",
        ["series_description", "study_date", "lfn"],
        unique=False,
    )
    op.create_index("ix_object_series_uid", "object", ["series_uid", "lfn"], unique=False)
    op.create_index("ix_object_study_date", "object", ["study_date", "lfn"], unique=False)
    op.create_index("ix_object_study_uid", "object", ["study_uid", "lfn"], unique=False)
    op.create_index(
        "ix_object_suffix_task_run", "object", ["suffix", "task", "run", "lfn"], unique=False
    )
    op.create_table(
        "storage_element",
        sa.Column("name", Text(), nullable=False),
        sa.Column("url", Text(), nullable=False),
        sa.Column("site", Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("options", JsonText(), nullable=False),
        sa.ForeignKeyConstraint(["site"], ["site.name"], name=op.f("fk_storage_element_site")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_storage_element")),
    )
    op.create_table(
        "worker",
        sa.Column("name", Text(), nullable=False),
        sa.Column("url", Text(), nullable=False),
        sa.Column("site", Text(), nullable=False),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.Column("tags", JsonText(), nullable=False),
        sa.Column("memory_bytes", sa.BigInteger(), nullable=True),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("options", JsonText(), nullable=False),
        sa.ForeignKeyConstraint(["site"], ["site.name"], name=op.f("fk_worker_site")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_worker")),
    )
    op.create_table(
        "access_grant",
        sa.Column("object_id", Text(), nullable=False),
        sa.Column("identity", Text(), nullable=False),
        sa.Column("granted_by", Text(), nullable=False),
        sa.Column("dataset", Text(), nullable=False),
        sa.Column("until_s", sa.Double(), nullable=True),
        sa.Column("created_s", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["object_id"], ["object.id"], name=op.f("fk_access_grant_object_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint(
            "object_id", "identity", "granted_by", "dataset", name=op.f("pk_access_grant")
        ),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_access_grant_granted_by", "access_grant", ["granted_by"], unique=False)
    op.create_index(
        "ix_access_grant_identity_dataset", "access_grant", ["identity", "dataset"], unique=False
    )
    op.create_table(
        "attribute",
        sa.Column("object_id", Text(), nullable=False),
        sa.Column("name", Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("num", sa.Double(), nullable=True),
        sa.Column("text", Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["object_id"], ["object.id"], name=op.f("fk_attribute_object_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("object_id", "name", "position", name=op.f("pk_attribute")),
    )
    op.create_index(
        "ix_attribute_name_num_object_id", "attribute", ["name", "num", "object_id"], unique=False
    )
    op.create_index(
        "ix_attribute_name_text_object_id", "attribute", ["name", "text", "object_id"], unique=False
    )
    op.create_table(
        "job_attempt",
        sa.Column("submission", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("worker", Text(), nullable=False),
        sa.Column("assigned_s", sa.Double(), nullable=False),
        sa.Column("started_s", sa.Double(), nullable=True),
        sa.Column("ended_s", sa.Double(), nullable=True),
        sa.Column("cause", Text(), nullable=True),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("message", Text(), nullable=False),
        sa.Column("stdout_tail", Text(), nullable=False),
        sa.Column("stderr_tail", Text(), nullable=False),
        sa.Column("max_rss_bytes", sa.BigInteger(), nullable=True),
        sa.Column("cpu_s", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["submission", "number"],
            ["job.submission", "job.number"],
            name=op.f("fk_job_attempt_submission"),
        ),
        sa.PrimaryKeyConstraint("submission", "number", "attempt", name=op.f("pk_job_attempt")),
    )
    op.create_table(
        "job_event",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("submission", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("time_s", sa.Double(), nullable=False),
        sa.Column("state", Text(), nullable=False),
        sa.Column("worker", Text(), nullable=True),
        sa.Column("reason", Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["submission", "number"],
            ["job.submission", "job.number"],
            name=op.f("fk_job_event_submission"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job_event")),
    )
    op.create_index(
        "ix_job_event_submission_number", "job_event", ["submission", "number"], unique=False
    )
    op.create_table(
        "object_version",
        sa.Column("lfn", Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("object_id", Text(), nullable=False),
        sa.Column("replaced_s", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["object_id"],
            ["object.id"],
            name=op.f("fk_object_version_object_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("lfn", "version", name=op.f("pk_object_version")),
        sa.UniqueConstraint("object_id", name=op.f("uq_object_version_object_id")),
    )
    op.create_table(
        "replica",
        sa.Column("object_id", Text(), nullable=False),
        sa.Column("se", Text(), nullable=False),
        sa.Column("pfn", Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", Text(), nullable=False),
        sa.Column("created_s", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["object_id"], ["object.id"], name=op.f("fk_replica_object_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["se"], ["storage_element.name"], name=op.f("fk_replica_se")),
        sa.PrimaryKeyConstraint("object_id", "se", "pfn", name=op.f("pk_replica")),
    )
    op.create_index("ix_replica_se_pfn", "replica", ["se", "pfn"], unique=False)
    op.create_table(
        "upload",
        sa.Column("owner", Text(), nullable=False),
        sa.Column("se", Text(), nullable=False),
        sa.Column("pfn", Text(), nullable=False),
        sa.Column("object_id", Text(), nullable=False),
        sa.Column("reserved_s", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["se"], ["storage_element.name"], name=op.f("fk_upload_se")),
        sa.PrimaryKeyConstraint("se", "pfn", name=op.f("pk_upload")),
    )
    op.create_index(op.f("ix_upload_object_id"), "upload", ["object_id"], unique=False)
