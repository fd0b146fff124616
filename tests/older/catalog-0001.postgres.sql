
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;



CREATE TABLE public.access_grant (
    object_id character varying NOT NULL COLLATE pg_catalog."C",
    identity character varying NOT NULL COLLATE pg_catalog."C",
    granted_by character varying NOT NULL COLLATE pg_catalog."C",
    dataset character varying NOT NULL COLLATE pg_catalog."C",
    until_s double precision,
    created_s double precision NOT NULL
);


CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);


CREATE TABLE public.algorithm (
    digest character varying NOT NULL COLLATE pg_catalog."C",
    name character varying NOT NULL COLLATE pg_catalog."C",
    version character varying NOT NULL COLLATE pg_catalog."C",
    descriptor jsonb NOT NULL,
    bundle_object character varying COLLATE pg_catalog."C",
    bundle_sha256 character varying COLLATE pg_catalog."C",
    created_s double precision NOT NULL
);


CREATE TABLE public.attribute (
    object_id character varying NOT NULL COLLATE pg_catalog."C",
    name character varying NOT NULL COLLATE pg_catalog."C",
    "position" integer NOT NULL,
    num double precision,
    text character varying COLLATE pg_catalog."C"
);


CREATE TABLE public.attribute_name (
    name character varying NOT NULL COLLATE pg_catalog."C",
    type character varying NOT NULL COLLATE pg_catalog."C",
    place character varying NOT NULL COLLATE pg_catalog."C",
    unit character varying COLLATE pg_catalog."C"
);


CREATE TABLE public.care (
    patient character varying NOT NULL COLLATE pg_catalog."C",
    identity character varying NOT NULL COLLATE pg_catalog."C",
    role character varying NOT NULL COLLATE pg_catalog."C"
);


CREATE TABLE public.dataset (
    owner character varying NOT NULL COLLATE pg_catalog."C",
    name character varying NOT NULL COLLATE pg_catalog."C",
    question character varying NOT NULL COLLATE pg_catalog."C",
    frozen boolean NOT NULL,
    created_s double precision NOT NULL
);


CREATE TABLE public.dataset_member (
    owner character varying NOT NULL COLLATE pg_catalog."C",
    dataset character varying NOT NULL COLLATE pg_catalog."C",
    lfn character varying NOT NULL COLLATE pg_catalog."C",
    object_id character varying NOT NULL COLLATE pg_catalog."C"
);


CREATE TABLE public.derivation (
    id character varying NOT NULL COLLATE pg_catalog."C",
    owner character varying NOT NULL COLLATE pg_catalog."C",
    algorithm character varying NOT NULL COLLATE pg_catalog."C",
    algorithm_name character varying NOT NULL COLLATE pg_catalog."C",
    algorithm_version character varying NOT NULL COLLATE pg_catalog."C",
    parameters jsonb NOT NULL,
    submission bigint,
    job_number bigint,
    worker character varying COLLATE pg_catalog."C",
    started_s double precision,
    ended_s double precision,
    exit_code integer
);


CREATE TABLE public.derivation_input (
    derivation character varying NOT NULL COLLATE pg_catalog."C",
    role character varying NOT NULL COLLATE pg_catalog."C",
    "position" integer NOT NULL,
    object_id character varying NOT NULL COLLATE pg_catalog."C"
);


CREATE TABLE public.derivation_link (
    output_id character varying NOT NULL COLLATE pg_catalog."C",
    input_id character varying NOT NULL COLLATE pg_catalog."C"
);


CREATE TABLE public.derivation_output (
    derivation character varying NOT NULL COLLATE pg_catalog."C",
    role character varying NOT NULL COLLATE pg_catalog."C",
    "position" integer NOT NULL,
    object_id character varying NOT NULL COLLATE pg_catalog."C"
);


CREATE TABLE public.grid (
    grid_id character varying NOT NULL COLLATE pg_catalog."C",
    created_s double precision NOT NULL
);


CREATE TABLE public.job (
    submission bigint NOT NULL,
    number bigint NOT NULL,
    own_inputs jsonb NOT NULL,
    state character varying NOT NULL COLLATE pg_catalog."C",
    reason character varying NOT NULL COLLATE pg_catalog."C",
    cause character varying COLLATE pg_catalog."C",
    exit_code integer,
    attempt integer NOT NULL,
    old_attempts integer NOT NULL,
    preemptions integer NOT NULL,
    strikes integer NOT NULL,
    worker character varying COLLATE pg_catalog."C",
    cancel_asked boolean NOT NULL,
    not_before_s double precision NOT NULL,
    updated_s double precision NOT NULL,
    started_s double precision,
    suspended_s double precision,
    paused_s double precision NOT NULL,
    ended_s double precision
);


CREATE TABLE public.job_attempt (
    submission bigint NOT NULL,
    number bigint NOT NULL,
    attempt integer NOT NULL,
    worker character varying NOT NULL COLLATE pg_catalog."C",
    assigned_s double precision NOT NULL,
    started_s double precision,
    ended_s double precision,
    cause character varying COLLATE pg_catalog."C",
    exit_code integer,
    message character varying NOT NULL COLLATE pg_catalog."C",
    stdout_tail character varying NOT NULL COLLATE pg_catalog."C",
    stderr_tail character varying NOT NULL COLLATE pg_catalog."C",
    max_rss_bytes bigint,
    cpu_s double precision
);


CREATE TABLE public.job_event (
    id bigint NOT NULL,
    submission bigint NOT NULL,
    number bigint NOT NULL,
    attempt integer NOT NULL,
    time_s double precision NOT NULL,
    state character varying NOT NULL COLLATE pg_catalog."C",
    worker character varying COLLATE pg_catalog."C",
    reason character varying NOT NULL COLLATE pg_catalog."C"
);


CREATE SEQUENCE public.job_event_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


ALTER SEQUENCE public.job_event_id_seq OWNED BY public.job_event.id;


CREATE TABLE public.lease (
    name character varying NOT NULL COLLATE pg_catalog."C",
    token bigint NOT NULL,
    holder character varying NOT NULL COLLATE pg_catalog."C",
    process character varying NOT NULL COLLATE pg_catalog."C",
    since_s double precision NOT NULL,
    heartbeat_s double precision NOT NULL,
    stop_asked boolean NOT NULL
);


CREATE TABLE public.object (
    id character varying NOT NULL COLLATE pg_catalog."C",
    lfn character varying COLLATE pg_catalog."C",
    version integer NOT NULL,
    kind character varying NOT NULL COLLATE pg_catalog."C",
    filename character varying NOT NULL COLLATE pg_catalog."C",
    size_bytes bigint NOT NULL,
    sha256 character varying NOT NULL COLLATE pg_catalog."C",
    created_s double precision NOT NULL,
    data_class character varying NOT NULL COLLATE pg_catalog."C",
    owner character varying NOT NULL COLLATE pg_catalog."C",
    digest character varying COLLATE pg_catalog."C",
    review character varying NOT NULL COLLATE pg_catalog."C",
    original character varying COLLATE pg_catalog."C",
    rekeyed_as character varying COLLATE pg_catalog."C",
    patient character varying COLLATE pg_catalog."C",
    patient_sex character varying COLLATE pg_catalog."C",
    patient_age double precision,
    study_uid character varying COLLATE pg_catalog."C",
    study_date character varying COLLATE pg_catalog."C",
    study_description character varying COLLATE pg_catalog."C",
    series_uid character varying COLLATE pg_catalog."C",
    series_date character varying COLLATE pg_catalog."C",
    series_number bigint,
    series_description character varying COLLATE pg_catalog."C",
    modality character varying COLLATE pg_catalog."C",
    body_part_examined character varying COLLATE pg_catalog."C",
    protocol_name character varying COLLATE pg_catalog."C",
    manufacturer character varying COLLATE pg_catalog."C",
    manufacturer_model_name character varying COLLATE pg_catalog."C",
    magnetic_field_strength double precision,
    repetition_time double precision,
    echo_time double precision,
    slice_thickness double precision,
    rows bigint,
    columns bigint,
    number_of_slices bigint,
    number_of_timepoints bigint,
    number_of_frames bigint,
    number_of_instances bigint,
    voxel_size_x double precision,
    voxel_size_y double precision,
    voxel_size_z double precision,
    session character varying COLLATE pg_catalog."C",
    task character varying COLLATE pg_catalog."C",
    acquisition character varying COLLATE pg_catalog."C",
    run character varying COLLATE pg_catalog."C",
    suffix character varying COLLATE pg_catalog."C",
    datatype character varying COLLATE pg_catalog."C",
    attributes jsonb NOT NULL
);


CREATE TABLE public.object_version (
    lfn character varying NOT NULL COLLATE pg_catalog."C",
    version integer NOT NULL,
    object_id character varying NOT NULL COLLATE pg_catalog."C",
    replaced_s double precision NOT NULL
);


CREATE TABLE public.patient (
    pseudonym character varying NOT NULL COLLATE pg_catalog."C",
    visits integer NOT NULL
);


CREATE TABLE public.quota (
    owner character varying NOT NULL COLLATE pg_catalog."C",
    slots integer,
    jobs integer
);


CREATE TABLE public.replica (
    object_id character varying NOT NULL COLLATE pg_catalog."C",
    se character varying NOT NULL COLLATE pg_catalog."C",
    pfn character varying NOT NULL COLLATE pg_catalog."C",
    size_bytes bigint NOT NULL,
    sha256 character varying NOT NULL COLLATE pg_catalog."C",
    created_s double precision NOT NULL
);


CREATE TABLE public.scanned_file (
    owner character varying NOT NULL COLLATE pg_catalog."C",
    key character varying NOT NULL COLLATE pg_catalog."C",
    size_bytes bigint NOT NULL,
    mtime_ns bigint NOT NULL,
    inode bigint NOT NULL,
    object_id character varying COLLATE pg_catalog."C",
    outcome character varying NOT NULL COLLATE pg_catalog."C"
);


CREATE TABLE public.site (
    name character varying NOT NULL COLLATE pg_catalog."C",
    site_class character varying NOT NULL COLLATE pg_catalog."C"
);


CREATE TABLE public.storage_element (
    name character varying NOT NULL COLLATE pg_catalog."C",
    url character varying NOT NULL COLLATE pg_catalog."C",
    site character varying NOT NULL COLLATE pg_catalog."C",
    enabled boolean NOT NULL,
    options jsonb NOT NULL
);


CREATE TABLE public.submission (
    id bigint NOT NULL,
    name character varying NOT NULL COLLATE pg_catalog."C",
    owner character varying NOT NULL COLLATE pg_catalog."C",
    algorithm character varying NOT NULL COLLATE pg_catalog."C",
    algorithm_label character varying NOT NULL COLLATE pg_catalog."C",
    parameters jsonb NOT NULL,
    inputs jsonb NOT NULL,
    item_role character varying COLLATE pg_catalog."C",
    se character varying COLLATE pg_catalog."C",
    priority integer NOT NULL,
    created_s double precision NOT NULL
);


CREATE SEQUENCE public.submission_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


ALTER SEQUENCE public.submission_id_seq OWNED BY public.submission.id;


CREATE TABLE public.upload (
    owner character varying NOT NULL COLLATE pg_catalog."C",
    se character varying NOT NULL COLLATE pg_catalog."C",
    pfn character varying NOT NULL COLLATE pg_catalog."C",
    object_id character varying NOT NULL COLLATE pg_catalog."C",
    reserved_s double precision NOT NULL
);


CREATE TABLE public.usage (
    owner character varying NOT NULL COLLATE pg_catalog."C",
    slot_s double precision NOT NULL,
    at_s double precision NOT NULL
);


CREATE TABLE public.worker (
    name character varying NOT NULL COLLATE pg_catalog."C",
    url character varying NOT NULL COLLATE pg_catalog."C",
    site character varying NOT NULL COLLATE pg_catalog."C",
    slots integer NOT NULL,
    tags jsonb NOT NULL,
    memory_bytes bigint,
    enabled boolean NOT NULL,
    options jsonb NOT NULL
);


CREATE TABLE public.worker_health (
    worker character varying NOT NULL COLLATE pg_catalog."C",
    failures integer NOT NULL,
    outages integer NOT NULL,
    since_s double precision NOT NULL,
    until_s double precision NOT NULL,
    reason character varying NOT NULL COLLATE pg_catalog."C"
);


CREATE TABLE public.worker_link (
    worker character varying NOT NULL COLLATE pg_catalog."C",
    agent_id character varying COLLATE pg_catalog."C",
    journal_offset bigint NOT NULL,
    info jsonb NOT NULL,
    down_since_s double precision,
    reason character varying NOT NULL COLLATE pg_catalog."C",
    lost_at_s double precision
);


ALTER TABLE ONLY public.job_event ALTER COLUMN id SET DEFAULT nextval('public.job_event_id_seq'::regclass);


ALTER TABLE ONLY public.submission ALTER COLUMN id SET DEFAULT nextval('public.submission_id_seq'::regclass);


INSERT INTO public.access_grant (object_id, identity, granted_by, dataset, until_s, created_s) VALUES ('id 1', 'identity 1', 'granted by 1', 'dataset 1', 1700000001.123456, 1700000001.123456);
INSERT INTO public.access_grant (object_id, identity, granted_by, dataset, until_s, created_s) VALUES ('id 2 ''é
', 'identity 2 ''é
', 'granted by 2 ''é
', 'dataset 2 ''é
', 1700000002.123456, 1700000002.123456);
INSERT INTO public.access_grant (object_id, identity, granted_by, dataset, until_s, created_s) VALUES ('id 3', 'identity 3', 'granted by 3', 'dataset 3', NULL, 1700000003.123456);


INSERT INTO public.alembic_version (version_num) VALUES ('0001');


INSERT INTO public.algorithm (digest, name, version, descriptor, bundle_object, bundle_sha256, created_s) VALUES ('digest 1', 'name 1', 'version 1', '{"many": [null, true, {"a": 1}], "text": "''\"é\n1", "number": 0.125}', 'bundle object 1', 'bundle sha256 1', 1700000001.123456);
INSERT INTO public.algorithm (digest, name, version, descriptor, bundle_object, bundle_sha256, created_s) VALUES ('digest 2 ''é
', 'name 2 ''é
', 'version 2 ''é
', '{"many": [null, true, {"a": 2}], "text": "''\"é\n2", "number": 0.25}', 'bundle object 2 ''é
', 'bundle sha256 2 ''é
', 1700000002.123456);
INSERT INTO public.algorithm (digest, name, version, descriptor, bundle_object, bundle_sha256, created_s) VALUES ('digest 3', 'name 3', 'version 3', '{"many": [null, true, {"a": 3}], "text": "''\"é\n3", "number": 0.375}', NULL, NULL, 1700000003.123456);


INSERT INTO public.attribute (object_id, name, "position", num, text) VALUES ('id 1', 'name 1', 1, 1700000001.123456, 'text 1');
INSERT INTO public.attribute (object_id, name, "position", num, text) VALUES ('id 2 ''é
', 'name 2 ''é
', 2, 1700000002.123456, 'text 2 ''é
');
INSERT INTO public.attribute (object_id, name, "position", num, text) VALUES ('id 3', 'name 3', 3, NULL, NULL);


INSERT INTO public.attribute_name (name, type, place, unit) VALUES ('name 1', 'num', 'rows', 'unit 1');
INSERT INTO public.attribute_name (name, type, place, unit) VALUES ('name 2 ''é
', 'text', 'document', 'unit 2 ''é
');
INSERT INTO public.attribute_name (name, type, place, unit) VALUES ('name 3', 'text', 'column', NULL);


INSERT INTO public.care (patient, identity, role) VALUES ('pseudonym 1', 'identity 1', 'patient');
INSERT INTO public.care (patient, identity, role) VALUES ('pseudonym 2 ''é
', 'identity 2 ''é
', 'physician');
INSERT INTO public.care (patient, identity, role) VALUES ('pseudonym 3', 'identity 3', 'physician');


INSERT INTO public.dataset (owner, name, question, frozen, created_s) VALUES ('owner 1', 'name 1', 'question 1', true, 1700000001.123456);
INSERT INTO public.dataset (owner, name, question, frozen, created_s) VALUES ('owner 2 ''é
', 'name 2 ''é
', 'question 2 ''é
', false, 1700000002.123456);
INSERT INTO public.dataset (owner, name, question, frozen, created_s) VALUES ('owner 3', 'name 3', 'question 3', false, 1700000003.123456);


INSERT INTO public.dataset_member (owner, dataset, lfn, object_id) VALUES ('owner 1', 'name 1', 'lfn 1', 'object id 1');
INSERT INTO public.dataset_member (owner, dataset, lfn, object_id) VALUES ('owner 2 ''é
', 'name 2 ''é
', 'lfn 2 ''é
', 'object id 2 ''é
');
INSERT INTO public.dataset_member (owner, dataset, lfn, object_id) VALUES ('owner 3', 'name 3', 'lfn 3', 'object id 3');


INSERT INTO public.derivation (id, owner, algorithm, algorithm_name, algorithm_version, parameters, submission, job_number, worker, started_s, ended_s, exit_code) VALUES ('id 1', 'owner 1', 'algorithm 1', 'algorithm name 1', 'algorithm version 1', '{"many": [null, true, {"a": 1}], "text": "''\"é\n1", "number": 0.125}', 9007199254740993, 9007199254740993, 'worker 1', 1700000001.123456, 1700000001.123456, 1);
INSERT INTO public.derivation (id, owner, algorithm, algorithm_name, algorithm_version, parameters, submission, job_number, worker, started_s, ended_s, exit_code) VALUES ('id 2 ''é
', 'owner 2 ''é
', 'algorithm 2 ''é
', 'algorithm name 2 ''é
', 'algorithm version 2 ''é
', '{"many": [null, true, {"a": 2}], "text": "''\"é\n2", "number": 0.25}', 9007199254740994, 9007199254740994, 'worker 2 ''é
', 1700000002.123456, 1700000002.123456, 2);
INSERT INTO public.derivation (id, owner, algorithm, algorithm_name, algorithm_version, parameters, submission, job_number, worker, started_s, ended_s, exit_code) VALUES ('id 3', 'owner 3', 'algorithm 3', 'algorithm name 3', 'algorithm version 3', '{"many": [null, true, {"a": 3}], "text": "''\"é\n3", "number": 0.375}', NULL, NULL, NULL, NULL, NULL, NULL);


INSERT INTO public.derivation_input (derivation, role, "position", object_id) VALUES ('id 1', 'role 1', 1, 'object id 1');
INSERT INTO public.derivation_input (derivation, role, "position", object_id) VALUES ('id 2 ''é
', 'role 2 ''é
', 2, 'object id 2 ''é
');
INSERT INTO public.derivation_input (derivation, role, "position", object_id) VALUES ('id 3', 'role 3', 3, 'object id 3');


INSERT INTO public.derivation_link (output_id, input_id) VALUES ('output id 1', 'input id 1');
INSERT INTO public.derivation_link (output_id, input_id) VALUES ('output id 2 ''é
', 'input id 2 ''é
');
INSERT INTO public.derivation_link (output_id, input_id) VALUES ('output id 3', 'input id 3');


INSERT INTO public.derivation_output (derivation, role, "position", object_id) VALUES ('id 1', 'role 1', 1, 'object id 1');
INSERT INTO public.derivation_output (derivation, role, "position", object_id) VALUES ('id 2 ''é
', 'role 2 ''é
', 2, 'object id 2 ''é
');
INSERT INTO public.derivation_output (derivation, role, "position", object_id) VALUES ('id 3', 'role 3', 3, 'object id 3');


INSERT INTO public.grid (grid_id, created_s) VALUES ('grid id 1', 1700000001.123456);


INSERT INTO public.job (submission, number, own_inputs, state, reason, cause, exit_code, attempt, old_attempts, preemptions, strikes, worker, cancel_asked, not_before_s, updated_s, started_s, suspended_s, paused_s, ended_s) VALUES (1, 1, '{"many": [null, true, {"a": 1}], "text": "''\"é\n1", "number": 0.125}', 'Done', 'reason 1', 'ok', 1, 1, 1, 1, 1, 'worker 1', true, 1700000001.123456, 1700000001.123456, 1700000001.123456, 1700000001.123456, 1700000001.123456, 1700000001.123456);
INSERT INTO public.job (submission, number, own_inputs, state, reason, cause, exit_code, attempt, old_attempts, preemptions, strikes, worker, cancel_asked, not_before_s, updated_s, started_s, suspended_s, paused_s, ended_s) VALUES (2, 2, '{"many": [null, true, {"a": 2}], "text": "''\"é\n2", "number": 0.25}', 'Running', 'reason 2 ''é
', NULL, 2, 2, 2, 2, 2, 'worker 2', false, 1700000002.123456, 1700000002.123456, 1700000002.123456, 1700000002.123456, 1700000002.123456, 1700000002.123456);
INSERT INTO public.job (submission, number, own_inputs, state, reason, cause, exit_code, attempt, old_attempts, preemptions, strikes, worker, cancel_asked, not_before_s, updated_s, started_s, suspended_s, paused_s, ended_s) VALUES (3, 3, '{"many": [null, true, {"a": 3}], "text": "''\"é\n3", "number": 0.375}', 'Submitted', 'reason 3', NULL, NULL, 3, 3, 3, 3, NULL, false, 1700000003.123456, 1700000003.123456, NULL, NULL, 1700000003.123456, NULL);


INSERT INTO public.job_attempt (submission, number, attempt, worker, assigned_s, started_s, ended_s, cause, exit_code, message, stdout_tail, stderr_tail, max_rss_bytes, cpu_s) VALUES (1, 1, 1, 'worker 1', 1700000001.123456, 1700000001.123456, 1700000001.123456, 'cause 1', 1, 'message 1', 'stdout tail 1', 'stderr tail 1', 9007199254740993, 1700000001.123456);
INSERT INTO public.job_attempt (submission, number, attempt, worker, assigned_s, started_s, ended_s, cause, exit_code, message, stdout_tail, stderr_tail, max_rss_bytes, cpu_s) VALUES (2, 2, 2, 'worker 2 ''é
', 1700000002.123456, 1700000002.123456, 1700000002.123456, 'cause 2 ''é
', 2, 'message 2 ''é
', 'stdout tail 2 ''é
', 'stderr tail 2 ''é
', 9007199254740994, 1700000002.123456);
INSERT INTO public.job_attempt (submission, number, attempt, worker, assigned_s, started_s, ended_s, cause, exit_code, message, stdout_tail, stderr_tail, max_rss_bytes, cpu_s) VALUES (3, 3, 3, 'worker 3', 1700000003.123456, NULL, NULL, NULL, NULL, 'message 3', 'stdout tail 3', 'stderr tail 3', NULL, NULL);


INSERT INTO public.job_event (id, submission, number, attempt, time_s, state, worker, reason) VALUES (1, 1, 1, 1, 1700000001.123456, 'state 1', 'worker 1', 'reason 1');
INSERT INTO public.job_event (id, submission, number, attempt, time_s, state, worker, reason) VALUES (2, 2, 2, 2, 1700000002.123456, 'state 2 ''é
', 'worker 2 ''é
', 'reason 2 ''é
');
INSERT INTO public.job_event (id, submission, number, attempt, time_s, state, worker, reason) VALUES (3, 3, 3, 3, 1700000003.123456, 'state 3', NULL, 'reason 3');


INSERT INTO public.lease (name, token, holder, process, since_s, heartbeat_s, stop_asked) VALUES ('name 1', 9007199254740993, 'holder 1', 'process 1', 1700000001.123456, 1700000001.123456, true);
INSERT INTO public.lease (name, token, holder, process, since_s, heartbeat_s, stop_asked) VALUES ('name 2 ''é
', 9007199254740994, 'holder 2 ''é
', 'process 2 ''é
', 1700000002.123456, 1700000002.123456, false);
INSERT INTO public.lease (name, token, holder, process, since_s, heartbeat_s, stop_asked) VALUES ('name 3', 9007199254740995, 'holder 3', 'process 3', 1700000003.123456, 1700000003.123456, false);


INSERT INTO public.object (id, lfn, version, kind, filename, size_bytes, sha256, created_s, data_class, owner, digest, review, original, rekeyed_as, patient, patient_sex, patient_age, study_uid, study_date, study_description, series_uid, series_date, series_number, series_description, modality, body_part_examined, protocol_name, manufacturer, manufacturer_model_name, magnetic_field_strength, repetition_time, echo_time, slice_thickness, rows, columns, number_of_slices, number_of_timepoints, number_of_frames, number_of_instances, voxel_size_x, voxel_size_y, voxel_size_z, session, task, acquisition, run, suffix, datatype, attributes) VALUES ('id 1', 'lfn 1', 1, 'series', 'filename 1', 9007199254740993, 'sha256 1', 1700000001.123456, 'nominative', 'owner 1', 'digest 1', '', 'original 1', 'rekeyed as 1', 'pseudonym 1', 'patient sex 1', 1700000001.123456, 'study uid 1', 'study date 1', 'study description 1', 'series uid 1', 'series date 1', 9007199254740993, 'series description 1', 'modality 1', 'body part examined 1', 'protocol name 1', 'manufacturer 1', 'manufacturer model name 1', 1700000001.123456, 1700000001.123456, 1700000001.123456, 1700000001.123456, 9007199254740993, 9007199254740993, 9007199254740993, 9007199254740993, 9007199254740993, 9007199254740993, 1700000001.123456, 1700000001.123456, 1700000001.123456, 'session 1', 'task 1', 'acquisition 1', 'run 1', 'suffix 1', 'datatype 1', '{"many": [null, true, {"a": 1}], "text": "''\"é\n1", "number": 0.125}');
INSERT INTO public.object (id, lfn, version, kind, filename, size_bytes, sha256, created_s, data_class, owner, digest, review, original, rekeyed_as, patient, patient_sex, patient_age, study_uid, study_date, study_description, series_uid, series_date, series_number, series_description, modality, body_part_examined, protocol_name, manufacturer, manufacturer_model_name, magnetic_field_strength, repetition_time, echo_time, slice_thickness, rows, columns, number_of_slices, number_of_timepoints, number_of_frames, number_of_instances, voxel_size_x, voxel_size_y, voxel_size_z, session, task, acquisition, run, suffix, datatype, attributes) VALUES ('id 2 ''é
', 'lfn 2 ''é
', 2, 'volume', 'filename 2 ''é
', 9007199254740994, 'sha256 2 ''é
', 1700000002.123456, 'image', 'owner 2 ''é
', 'digest 2 ''é
', 'needed', 'original 2 ''é
', 'rekeyed as 2 ''é
', 'pseudonym 2 ''é
', 'patient sex 2 ''é
', 1700000002.123456, 'study uid 2 ''é
', 'study date 2 ''é
', 'study description 2 ''é
', 'series uid 2 ''é
', 'series date 2 ''é
', 9007199254740994, 'series description 2 ''é
', 'modality 2 ''é
', 'body part examined 2 ''é
', 'protocol name 2 ''é
', 'manufacturer 2 ''é
', 'manufacturer model name 2 ''é
', 1700000002.123456, 1700000002.123456, 1700000002.123456, 1700000002.123456, 9007199254740994, 9007199254740994, 9007199254740994, 9007199254740994, 9007199254740994, 9007199254740994, 1700000002.123456, 1700000002.123456, 1700000002.123456, 'session 2 ''é
', 'task 2 ''é
', 'acquisition 2 ''é
', 'run 2 ''é
', 'suffix 2 ''é
', 'datatype 2 ''é
', '{"many": [null, true, {"a": 2}], "text": "''\"é\n2", "number": 0.25}');
INSERT INTO public.object (id, lfn, version, kind, filename, size_bytes, sha256, created_s, data_class, owner, digest, review, original, rekeyed_as, patient, patient_sex, patient_age, study_uid, study_date, study_description, series_uid, series_date, series_number, series_description, modality, body_part_examined, protocol_name, manufacturer, manufacturer_model_name, magnetic_field_strength, repetition_time, echo_time, slice_thickness, rows, columns, number_of_slices, number_of_timepoints, number_of_frames, number_of_instances, voxel_size_x, voxel_size_y, voxel_size_z, session, task, acquisition, run, suffix, datatype, attributes) VALUES ('id 3', NULL, 3, 'file', 'filename 3', 9007199254740995, 'sha256 3', 1700000003.123456, 'public', 'owner 3', NULL, 'passed', NULL, NULL, 'pseudonym 3', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '{"many": [null, true, {"a": 3}], "text": "''\"é\n3", "number": 0.375}');


INSERT INTO public.object_version (lfn, version, object_id, replaced_s) VALUES ('lfn 1', 1, 'id 1', 1700000001.123456);
INSERT INTO public.object_version (lfn, version, object_id, replaced_s) VALUES ('lfn 2 ''é
', 2, 'id 2 ''é
', 1700000002.123456);
INSERT INTO public.object_version (lfn, version, object_id, replaced_s) VALUES ('lfn 3', 3, 'id 3', 1700000003.123456);


INSERT INTO public.patient (pseudonym, visits) VALUES ('pseudonym 1', 1);
INSERT INTO public.patient (pseudonym, visits) VALUES ('pseudonym 2 ''é
', 2);
INSERT INTO public.patient (pseudonym, visits) VALUES ('pseudonym 3', 3);


INSERT INTO public.quota (owner, slots, jobs) VALUES ('owner 1', 1, 1);
INSERT INTO public.quota (owner, slots, jobs) VALUES ('owner 2 ''é
', 2, 2);
INSERT INTO public.quota (owner, slots, jobs) VALUES ('owner 3', NULL, NULL);


INSERT INTO public.replica (object_id, se, pfn, size_bytes, sha256, created_s) VALUES ('id 1', 'name 1', 'pfn 1', 9007199254740993, 'sha256 1', 1700000001.123456);
INSERT INTO public.replica (object_id, se, pfn, size_bytes, sha256, created_s) VALUES ('id 2 ''é
', 'name 2 ''é
', 'pfn 2 ''é
', 9007199254740994, 'sha256 2 ''é
', 1700000002.123456);
INSERT INTO public.replica (object_id, se, pfn, size_bytes, sha256, created_s) VALUES ('id 3', 'name 3', 'pfn 3', 9007199254740995, 'sha256 3', 1700000003.123456);


INSERT INTO public.scanned_file (owner, key, size_bytes, mtime_ns, inode, object_id, outcome) VALUES ('owner 1', 'key 1', 9007199254740993, 9007199254740993, 9007199254740993, 'object id 1', 'outcome 1');
INSERT INTO public.scanned_file (owner, key, size_bytes, mtime_ns, inode, object_id, outcome) VALUES ('owner 2 ''é
', 'key 2 ''é
', 9007199254740994, 9007199254740994, 9007199254740994, 'object id 2 ''é
', 'outcome 2 ''é
');
INSERT INTO public.scanned_file (owner, key, size_bytes, mtime_ns, inode, object_id, outcome) VALUES ('owner 3', 'key 3', 9007199254740995, 9007199254740995, 9007199254740995, NULL, 'outcome 3');


INSERT INTO public.site (name, site_class) VALUES ('name 1', 'keys');
INSERT INTO public.site (name, site_class) VALUES ('name 2 ''é
', 'compute');
INSERT INTO public.site (name, site_class) VALUES ('name 3', 'store');


INSERT INTO public.storage_element (name, url, site, enabled, options) VALUES ('name 1', 'url 1', 'name 1', true, '{"many": [null, true, {"a": 1}], "text": "''\"é\n1", "number": 0.125}');
INSERT INTO public.storage_element (name, url, site, enabled, options) VALUES ('name 2 ''é
', 'url 2 ''é
', 'name 2 ''é
', false, '{"many": [null, true, {"a": 2}], "text": "''\"é\n2", "number": 0.25}');
INSERT INTO public.storage_element (name, url, site, enabled, options) VALUES ('name 3', 'url 3', 'name 3', false, '{"many": [null, true, {"a": 3}], "text": "''\"é\n3", "number": 0.375}');


INSERT INTO public.submission (id, name, owner, algorithm, algorithm_label, parameters, inputs, item_role, se, priority, created_s) VALUES (1, 'name 1', 'owner 1', 'algorithm 1', 'algorithm label 1', '{"many": [null, true, {"a": 1}], "text": "''\"é\n1", "number": 0.125}', '{"many": [null, true, {"a": 1}], "text": "''\"é\n1", "number": 0.125}', 'item role 1', 'se 1', 1, 1700000001.123456);
INSERT INTO public.submission (id, name, owner, algorithm, algorithm_label, parameters, inputs, item_role, se, priority, created_s) VALUES (2, 'name 2 ''é
', 'owner 2 ''é
', 'algorithm 2 ''é
', 'algorithm label 2 ''é
', '{"many": [null, true, {"a": 2}], "text": "''\"é\n2", "number": 0.25}', '{"many": [null, true, {"a": 2}], "text": "''\"é\n2", "number": 0.25}', 'item role 2 ''é
', 'se 2 ''é
', 2, 1700000002.123456);
INSERT INTO public.submission (id, name, owner, algorithm, algorithm_label, parameters, inputs, item_role, se, priority, created_s) VALUES (3, 'name 3', 'owner 3', 'algorithm 3', 'algorithm label 3', '{"many": [null, true, {"a": 3}], "text": "''\"é\n3", "number": 0.375}', '{"many": [null, true, {"a": 3}], "text": "''\"é\n3", "number": 0.375}', NULL, NULL, 3, 1700000003.123456);


INSERT INTO public.upload (owner, se, pfn, object_id, reserved_s) VALUES ('owner 1', 'name 1', 'pfn 1', 'object id 1', 1700000001.123456);
INSERT INTO public.upload (owner, se, pfn, object_id, reserved_s) VALUES ('owner 2 ''é
', 'name 2 ''é
', 'pfn 2 ''é
', 'object id 2 ''é
', 1700000002.123456);
INSERT INTO public.upload (owner, se, pfn, object_id, reserved_s) VALUES ('owner 3', 'name 3', 'pfn 3', 'object id 3', 1700000003.123456);


INSERT INTO public.usage (owner, slot_s, at_s) VALUES ('owner 1', 1700000001.123456, 1700000001.123456);
INSERT INTO public.usage (owner, slot_s, at_s) VALUES ('owner 2 ''é
', 1700000002.123456, 1700000002.123456);
INSERT INTO public.usage (owner, slot_s, at_s) VALUES ('owner 3', 1700000003.123456, 1700000003.123456);


INSERT INTO public.worker (name, url, site, slots, tags, memory_bytes, enabled, options) VALUES ('name 1', 'url 1', 'name 1', 1, '{"many": [null, true, {"a": 1}], "text": "''\"é\n1", "number": 0.125}', 9007199254740993, true, '{"many": [null, true, {"a": 1}], "text": "''\"é\n1", "number": 0.125}');
INSERT INTO public.worker (name, url, site, slots, tags, memory_bytes, enabled, options) VALUES ('name 2 ''é
', 'url 2 ''é
', 'name 2 ''é
', 2, '{"many": [null, true, {"a": 2}], "text": "''\"é\n2", "number": 0.25}', 9007199254740994, false, '{"many": [null, true, {"a": 2}], "text": "''\"é\n2", "number": 0.25}');
INSERT INTO public.worker (name, url, site, slots, tags, memory_bytes, enabled, options) VALUES ('name 3', 'url 3', 'name 3', 3, '{"many": [null, true, {"a": 3}], "text": "''\"é\n3", "number": 0.375}', NULL, false, '{"many": [null, true, {"a": 3}], "text": "''\"é\n3", "number": 0.375}');


INSERT INTO public.worker_health (worker, failures, outages, since_s, until_s, reason) VALUES ('worker 1', 1, 1, 1700000001.123456, 1700000001.123456, 'reason 1');
INSERT INTO public.worker_health (worker, failures, outages, since_s, until_s, reason) VALUES ('worker 2 ''é
', 2, 2, 1700000002.123456, 1700000002.123456, 'reason 2 ''é
');
INSERT INTO public.worker_health (worker, failures, outages, since_s, until_s, reason) VALUES ('worker 3', 3, 3, 1700000003.123456, 1700000003.123456, 'reason 3');


INSERT INTO public.worker_link (worker, agent_id, journal_offset, info, down_since_s, reason, lost_at_s) VALUES ('worker 1', 'agent id 1', 9007199254740993, '{"many": [null, true, {"a": 1}], "text": "''\"é\n1", "number": 0.125}', 1700000001.123456, 'reason 1', 1700000001.123456);
INSERT INTO public.worker_link (worker, agent_id, journal_offset, info, down_since_s, reason, lost_at_s) VALUES ('worker 2 ''é
', 'agent id 2 ''é
', 9007199254740994, '{"many": [null, true, {"a": 2}], "text": "''\"é\n2", "number": 0.25}', 1700000002.123456, 'reason 2 ''é
', 1700000002.123456);
INSERT INTO public.worker_link (worker, agent_id, journal_offset, info, down_since_s, reason, lost_at_s) VALUES ('worker 3', NULL, 9007199254740995, '{"many": [null, true, {"a": 3}], "text": "''\"é\n3", "number": 0.375}', NULL, 'reason 3', NULL);


SELECT pg_catalog.setval('public.job_event_id_seq', 3, true);


SELECT pg_catalog.setval('public.submission_id_seq', 3, true);


ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);


ALTER TABLE ONLY public.access_grant
    ADD CONSTRAINT pk_access_grant PRIMARY KEY (object_id, identity, granted_by, dataset);


ALTER TABLE ONLY public.algorithm
    ADD CONSTRAINT pk_algorithm PRIMARY KEY (digest);


ALTER TABLE ONLY public.attribute
    ADD CONSTRAINT pk_attribute PRIMARY KEY (object_id, name, "position");


ALTER TABLE ONLY public.attribute_name
    ADD CONSTRAINT pk_attribute_name PRIMARY KEY (name);


ALTER TABLE ONLY public.care
    ADD CONSTRAINT pk_care PRIMARY KEY (patient, identity, role);


ALTER TABLE ONLY public.dataset
    ADD CONSTRAINT pk_dataset PRIMARY KEY (owner, name);


ALTER TABLE ONLY public.dataset_member
    ADD CONSTRAINT pk_dataset_member PRIMARY KEY (owner, dataset, lfn);


ALTER TABLE ONLY public.derivation
    ADD CONSTRAINT pk_derivation PRIMARY KEY (id);


ALTER TABLE ONLY public.derivation_input
    ADD CONSTRAINT pk_derivation_input PRIMARY KEY (derivation, role, "position");


ALTER TABLE ONLY public.derivation_link
    ADD CONSTRAINT pk_derivation_link PRIMARY KEY (output_id, input_id);


ALTER TABLE ONLY public.derivation_output
    ADD CONSTRAINT pk_derivation_output PRIMARY KEY (derivation, role, "position");


ALTER TABLE ONLY public.grid
    ADD CONSTRAINT pk_grid PRIMARY KEY (grid_id);


ALTER TABLE ONLY public.job
    ADD CONSTRAINT pk_job PRIMARY KEY (submission, number);


ALTER TABLE ONLY public.job_attempt
    ADD CONSTRAINT pk_job_attempt PRIMARY KEY (submission, number, attempt);


ALTER TABLE ONLY public.job_event
    ADD CONSTRAINT pk_job_event PRIMARY KEY (id);


ALTER TABLE ONLY public.lease
    ADD CONSTRAINT pk_lease PRIMARY KEY (name);


ALTER TABLE ONLY public.object
    ADD CONSTRAINT pk_object PRIMARY KEY (id);


ALTER TABLE ONLY public.object_version
    ADD CONSTRAINT pk_object_version PRIMARY KEY (lfn, version);


ALTER TABLE ONLY public.patient
    ADD CONSTRAINT pk_patient PRIMARY KEY (pseudonym);


ALTER TABLE ONLY public.quota
    ADD CONSTRAINT pk_quota PRIMARY KEY (owner);


ALTER TABLE ONLY public.replica
    ADD CONSTRAINT pk_replica PRIMARY KEY (object_id, se, pfn);


ALTER TABLE ONLY public.scanned_file
    ADD CONSTRAINT pk_scanned_file PRIMARY KEY (owner, key);


ALTER TABLE ONLY public.site
    ADD CONSTRAINT pk_site PRIMARY KEY (name);


ALTER TABLE ONLY public.storage_element
    ADD CONSTRAINT pk_storage_element PRIMARY KEY (name);


ALTER TABLE ONLY public.submission
    ADD CONSTRAINT pk_submission PRIMARY KEY (id);


ALTER TABLE ONLY public.upload
    ADD CONSTRAINT pk_upload PRIMARY KEY (se, pfn);


ALTER TABLE ONLY public.usage
    ADD CONSTRAINT pk_usage PRIMARY KEY (owner);


ALTER TABLE ONLY public.worker
    ADD CONSTRAINT pk_worker PRIMARY KEY (name);


ALTER TABLE ONLY public.worker_health
    ADD CONSTRAINT pk_worker_health PRIMARY KEY (worker);


ALTER TABLE ONLY public.worker_link
    ADD CONSTRAINT pk_worker_link PRIMARY KEY (worker);


ALTER TABLE ONLY public.algorithm
    ADD CONSTRAINT uq_algorithm_name_version UNIQUE (name, version);


ALTER TABLE ONLY public.derivation_output
    ADD CONSTRAINT uq_derivation_output_object_id UNIQUE (object_id);


ALTER TABLE ONLY public.object
    ADD CONSTRAINT uq_object_lfn UNIQUE (lfn);


ALTER TABLE ONLY public.object_version
    ADD CONSTRAINT uq_object_version_object_id UNIQUE (object_id);


CREATE INDEX ix_access_grant_granted_by ON public.access_grant USING btree (granted_by);


CREATE INDEX ix_access_grant_identity_dataset ON public.access_grant USING btree (identity, dataset);


CREATE INDEX ix_attribute_name_num_object_id ON public.attribute USING btree (name, num, object_id);


CREATE INDEX ix_attribute_name_text_object_id ON public.attribute USING btree (name, text, object_id);


CREATE INDEX ix_care_identity_role ON public.care USING btree (identity, role);


CREATE INDEX ix_dataset_member_object_id ON public.dataset_member USING btree (object_id);


CREATE INDEX ix_derivation_algorithm ON public.derivation USING btree (algorithm);


CREATE INDEX ix_derivation_algorithm_name ON public.derivation USING btree (algorithm_name, algorithm_version);


CREATE INDEX ix_derivation_input_object_id ON public.derivation_input USING btree (object_id);


CREATE INDEX ix_derivation_link_input_id ON public.derivation_link USING btree (input_id);


CREATE INDEX ix_derivation_submission ON public.derivation USING btree (submission, job_number);


CREATE INDEX ix_job_event_submission_number ON public.job_event USING btree (submission, number);


CREATE INDEX ix_job_state_submission_number ON public.job USING btree (state, submission, number);


CREATE INDEX ix_object_created_s ON public.object USING btree (created_s, lfn);


CREATE INDEX ix_object_kind ON public.object USING btree (kind, lfn);


CREATE INDEX ix_object_modality_body_part_examined_study_date ON public.object USING btree (modality, body_part_examined, study_date, lfn);


CREATE INDEX ix_object_original ON public.object USING btree (original, lfn);


CREATE INDEX ix_object_owner ON public.object USING btree (owner, lfn);


CREATE INDEX ix_object_patient_age ON public.object USING btree (patient_age, lfn);


CREATE INDEX ix_object_patient_study_date ON public.object USING btree (patient, study_date, lfn);


CREATE INDEX ix_object_protocol_name_study_date ON public.object USING btree (protocol_name, study_date, lfn);


CREATE INDEX ix_object_series_description_study_date ON public.object USING btree (series_description, study_date, lfn);


CREATE INDEX ix_object_series_uid ON public.object USING btree (series_uid, lfn);


CREATE INDEX ix_object_study_date ON public.object USING btree (study_date, lfn);


CREATE INDEX ix_object_study_uid ON public.object USING btree (study_uid, lfn);


CREATE INDEX ix_object_suffix_task_run ON public.object USING btree (suffix, task, run, lfn);


CREATE INDEX ix_patient_visits ON public.patient USING btree (visits);


CREATE INDEX ix_replica_se_pfn ON public.replica USING btree (se, pfn);


CREATE INDEX ix_submission_owner_created_s ON public.submission USING btree (owner, created_s);


CREATE INDEX ix_upload_object_id ON public.upload USING btree (object_id);


ALTER TABLE ONLY public.access_grant
    ADD CONSTRAINT fk_access_grant_object_id FOREIGN KEY (object_id) REFERENCES public.object(id) ON DELETE CASCADE;


ALTER TABLE ONLY public.attribute
    ADD CONSTRAINT fk_attribute_object_id FOREIGN KEY (object_id) REFERENCES public.object(id) ON DELETE CASCADE;


ALTER TABLE ONLY public.care
    ADD CONSTRAINT fk_care_patient FOREIGN KEY (patient) REFERENCES public.patient(pseudonym) ON DELETE CASCADE;


ALTER TABLE ONLY public.dataset_member
    ADD CONSTRAINT fk_dataset_member_owner FOREIGN KEY (owner, dataset) REFERENCES public.dataset(owner, name) ON DELETE CASCADE;


ALTER TABLE ONLY public.derivation_input
    ADD CONSTRAINT fk_derivation_input_derivation FOREIGN KEY (derivation) REFERENCES public.derivation(id) ON DELETE CASCADE;


ALTER TABLE ONLY public.derivation_output
    ADD CONSTRAINT fk_derivation_output_derivation FOREIGN KEY (derivation) REFERENCES public.derivation(id) ON DELETE CASCADE;


ALTER TABLE ONLY public.job_attempt
    ADD CONSTRAINT fk_job_attempt_submission FOREIGN KEY (submission, number) REFERENCES public.job(submission, number);


ALTER TABLE ONLY public.job_event
    ADD CONSTRAINT fk_job_event_submission FOREIGN KEY (submission, number) REFERENCES public.job(submission, number);


ALTER TABLE ONLY public.job
    ADD CONSTRAINT fk_job_submission FOREIGN KEY (submission) REFERENCES public.submission(id);


ALTER TABLE ONLY public.object
    ADD CONSTRAINT fk_object_patient FOREIGN KEY (patient) REFERENCES public.patient(pseudonym);


ALTER TABLE ONLY public.object_version
    ADD CONSTRAINT fk_object_version_object_id FOREIGN KEY (object_id) REFERENCES public.object(id) ON DELETE CASCADE;


ALTER TABLE ONLY public.replica
    ADD CONSTRAINT fk_replica_object_id FOREIGN KEY (object_id) REFERENCES public.object(id) ON DELETE CASCADE;


ALTER TABLE ONLY public.replica
    ADD CONSTRAINT fk_replica_se FOREIGN KEY (se) REFERENCES public.storage_element(name);


ALTER TABLE ONLY public.storage_element
    ADD CONSTRAINT fk_storage_element_site FOREIGN KEY (site) REFERENCES public.site(name);


ALTER TABLE ONLY public.upload
    ADD CONSTRAINT fk_upload_se FOREIGN KEY (se) REFERENCES public.storage_element(name);


ALTER TABLE ONLY public.worker
    ADD CONSTRAINT fk_worker_site FOREIGN KEY (site) REFERENCES public.site(name);



