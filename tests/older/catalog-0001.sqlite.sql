BEGIN TRANSACTION;
CREATE TABLE access_grant (
	object_id VARCHAR NOT NULL, 
	identity VARCHAR NOT NULL, 
	granted_by VARCHAR NOT NULL, 
	dataset VARCHAR NOT NULL, 
	until_s DOUBLE, 
	created_s DOUBLE NOT NULL, 
	CONSTRAINT pk_access_grant PRIMARY KEY (object_id, identity, granted_by, dataset), 
	CONSTRAINT fk_access_grant_object_id FOREIGN KEY(object_id) REFERENCES object (id) ON DELETE CASCADE
)
 WITHOUT ROWID

;
INSERT INTO "access_grant" VALUES('id 1','identity 1','granted by 1','dataset 1',1.70000000112345600123e+09,1.70000000112345600123e+09);
INSERT INTO "access_grant" VALUES('id 2 ''é
','identity 2 ''é
','granted by 2 ''é
','dataset 2 ''é
',1.70000000212345600122e+09,1.70000000212345600122e+09);
INSERT INTO "access_grant" VALUES('id 3','identity 3','granted by 3','dataset 3',NULL,1.70000000312345600126e+09);
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE algorithm (
	digest VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	version VARCHAR NOT NULL, 
	descriptor JSON NOT NULL, 
	bundle_object VARCHAR, 
	bundle_sha256 VARCHAR, 
	created_s DOUBLE NOT NULL, 
	CONSTRAINT pk_algorithm PRIMARY KEY (digest), 
	CONSTRAINT uq_algorithm_name_version UNIQUE (name, version)
);
INSERT INTO "algorithm" VALUES('digest 1','name 1','version 1','{"text": "''\"\u00e9\n1", "number": 0.125, "many": [null, true, {"a": 1}]}','bundle object 1','bundle sha256 1',1.70000000112345600123e+09);
INSERT INTO "algorithm" VALUES('digest 2 ''é
','name 2 ''é
','version 2 ''é
','{"text": "''\"\u00e9\n2", "number": 0.25, "many": [null, true, {"a": 2}]}','bundle object 2 ''é
','bundle sha256 2 ''é
',1.70000000212345600122e+09);
INSERT INTO "algorithm" VALUES('digest 3','name 3','version 3','{"text": "''\"\u00e9\n3", "number": 0.375, "many": [null, true, {"a": 3}]}',NULL,NULL,1.70000000312345600126e+09);
CREATE TABLE attribute (
	object_id VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	position INTEGER NOT NULL, 
	num DOUBLE, 
	text VARCHAR, 
	CONSTRAINT pk_attribute PRIMARY KEY (object_id, name, position), 
	CONSTRAINT fk_attribute_object_id FOREIGN KEY(object_id) REFERENCES object (id) ON DELETE CASCADE
);
INSERT INTO "attribute" VALUES('id 1','name 1',1,1.70000000112345600123e+09,'text 1');
INSERT INTO "attribute" VALUES('id 2 ''é
','name 2 ''é
',2,1.70000000212345600122e+09,'text 2 ''é
');
INSERT INTO "attribute" VALUES('id 3','name 3',3,NULL,NULL);
CREATE TABLE attribute_name (
	name VARCHAR NOT NULL, 
	type VARCHAR NOT NULL, 
	place VARCHAR NOT NULL, 
	unit VARCHAR, 
	CONSTRAINT pk_attribute_name PRIMARY KEY (name)
);
INSERT INTO "attribute_name" VALUES('name 1','num','rows','unit 1');
INSERT INTO "attribute_name" VALUES('name 2 ''é
','text','document','unit 2 ''é
');
INSERT INTO "attribute_name" VALUES('name 3','text','column',NULL);
CREATE TABLE care (
	patient VARCHAR NOT NULL, 
	identity VARCHAR NOT NULL, 
	role VARCHAR NOT NULL, 
	CONSTRAINT pk_care PRIMARY KEY (patient, identity, role), 
	CONSTRAINT fk_care_patient FOREIGN KEY(patient) REFERENCES patient (pseudonym) ON DELETE CASCADE
)
 WITHOUT ROWID

;
INSERT INTO "care" VALUES('pseudonym 1','identity 1','patient');
INSERT INTO "care" VALUES('pseudonym 2 ''é
','identity 2 ''é
','physician');
INSERT INTO "care" VALUES('pseudonym 3','identity 3','physician');
CREATE TABLE dataset (
	owner VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	question VARCHAR NOT NULL, 
	frozen BOOLEAN NOT NULL, 
	created_s DOUBLE NOT NULL, 
	CONSTRAINT pk_dataset PRIMARY KEY (owner, name)
);
INSERT INTO "dataset" VALUES('owner 1','name 1','question 1',1,1.70000000112345600123e+09);
INSERT INTO "dataset" VALUES('owner 2 ''é
','name 2 ''é
','question 2 ''é
',0,1.70000000212345600122e+09);
INSERT INTO "dataset" VALUES('owner 3','name 3','question 3',0,1.70000000312345600126e+09);
CREATE TABLE dataset_member (
	owner VARCHAR NOT NULL, 
	dataset VARCHAR NOT NULL, 
	lfn VARCHAR NOT NULL, 
	object_id VARCHAR NOT NULL, 
	CONSTRAINT pk_dataset_member PRIMARY KEY (owner, dataset, lfn), 
	CONSTRAINT fk_dataset_member_owner FOREIGN KEY(owner, dataset) REFERENCES dataset (owner, name) ON DELETE CASCADE
);
INSERT INTO "dataset_member" VALUES('owner 1','name 1','lfn 1','object id 1');
INSERT INTO "dataset_member" VALUES('owner 2 ''é
','name 2 ''é
','lfn 2 ''é
','object id 2 ''é
');
INSERT INTO "dataset_member" VALUES('owner 3','name 3','lfn 3','object id 3');
CREATE TABLE derivation (
	id VARCHAR NOT NULL, 
	owner VARCHAR NOT NULL, 
	algorithm VARCHAR NOT NULL, 
	algorithm_name VARCHAR NOT NULL, 
	algorithm_version VARCHAR NOT NULL, 
	parameters JSON NOT NULL, 
	submission BIGINT, 
	job_number BIGINT, 
	worker VARCHAR, 
	started_s DOUBLE, 
	ended_s DOUBLE, 
	exit_code INTEGER, 
	CONSTRAINT pk_derivation PRIMARY KEY (id)
);
INSERT INTO "derivation" VALUES('id 1','owner 1','algorithm 1','algorithm name 1','algorithm version 1','{"text": "''\"\u00e9\n1", "number": 0.125, "many": [null, true, {"a": 1}]}',9007199254740993,9007199254740993,'worker 1',1.70000000112345600123e+09,1.70000000112345600123e+09,1);
INSERT INTO "derivation" VALUES('id 2 ''é
','owner 2 ''é
','algorithm 2 ''é
','algorithm name 2 ''é
','algorithm version 2 ''é
','{"text": "''\"\u00e9\n2", "number": 0.25, "many": [null, true, {"a": 2}]}',9007199254740994,9007199254740994,'worker 2 ''é
',1.70000000212345600122e+09,1.70000000212345600122e+09,2);
INSERT INTO "derivation" VALUES('id 3','owner 3','algorithm 3','algorithm name 3','algorithm version 3','{"text": "''\"\u00e9\n3", "number": 0.375, "many": [null, true, {"a": 3}]}',NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE derivation_input (
	derivation VARCHAR NOT NULL, 
	role VARCHAR NOT NULL, 
	position INTEGER NOT NULL, 
	object_id VARCHAR NOT NULL, 
	CONSTRAINT pk_derivation_input PRIMARY KEY (derivation, role, position), 
	CONSTRAINT fk_derivation_input_derivation FOREIGN KEY(derivation) REFERENCES derivation (id) ON DELETE CASCADE
);
INSERT INTO "derivation_input" VALUES('id 1','role 1',1,'object id 1');
INSERT INTO "derivation_input" VALUES('id 2 ''é
','role 2 ''é
',2,'object id 2 ''é
');
INSERT INTO "derivation_input" VALUES('id 3','role 3',3,'object id 3');
CREATE TABLE derivation_link (
	output_id VARCHAR NOT NULL, 
	input_id VARCHAR NOT NULL, 
	CONSTRAINT pk_derivation_link PRIMARY KEY (output_id, input_id)
);
INSERT INTO "derivation_link" VALUES('output id 1','input id 1');
INSERT INTO "derivation_link" VALUES('output id 2 ''é
','input id 2 ''é
');
INSERT INTO "derivation_link" VALUES('output id 3','input id 3');
CREATE TABLE derivation_output (
	derivation VARCHAR NOT NULL, 
	role VARCHAR NOT NULL, 
	position INTEGER NOT NULL, 
	object_id VARCHAR NOT NULL, 
	CONSTRAINT pk_derivation_output PRIMARY KEY (derivation, role, position), 
	CONSTRAINT fk_derivation_output_derivation FOREIGN KEY(derivation) REFERENCES derivation (id) ON DELETE CASCADE, 
	CONSTRAINT uq_derivation_output_object_id UNIQUE (object_id)
);
INSERT INTO "derivation_output" VALUES('id 1','role 1',1,'object id 1');
INSERT INTO "derivation_output" VALUES('id 2 ''é
','role 2 ''é
',2,'object id 2 ''é
');
INSERT INTO "derivation_output" VALUES('id 3','role 3',3,'object id 3');
CREATE TABLE grid (
	grid_id VARCHAR NOT NULL, 
	created_s DOUBLE NOT NULL, 
	CONSTRAINT pk_grid PRIMARY KEY (grid_id)
);
INSERT INTO "grid" VALUES('grid id 1',1.70000000112345600123e+09);
CREATE TABLE job (
	submission BIGINT NOT NULL, 
	number BIGINT NOT NULL, 
	own_inputs JSON NOT NULL, 
	state VARCHAR NOT NULL, 
	reason VARCHAR NOT NULL, 
	cause VARCHAR, 
	exit_code INTEGER, 
	attempt INTEGER NOT NULL, 
	old_attempts INTEGER NOT NULL, 
	preemptions INTEGER NOT NULL, 
	strikes INTEGER NOT NULL, 
	worker VARCHAR, 
	cancel_asked BOOLEAN NOT NULL, 
	not_before_s DOUBLE NOT NULL, 
	updated_s DOUBLE NOT NULL, 
	started_s DOUBLE, 
	suspended_s DOUBLE, 
	paused_s DOUBLE NOT NULL, 
	ended_s DOUBLE, 
	CONSTRAINT pk_job PRIMARY KEY (submission, number), 
	CONSTRAINT fk_job_submission FOREIGN KEY(submission) REFERENCES submission (id)
);
INSERT INTO "job" VALUES(1,1,'{"text": "''\"\u00e9\n1", "number": 0.125, "many": [null, true, {"a": 1}]}','Done','reason 1','ok',1,1,1,1,1,'worker 1',1,1.70000000112345600123e+09,1.70000000112345600123e+09,1.70000000112345600123e+09,1.70000000112345600123e+09,1.70000000112345600123e+09,1.70000000112345600123e+09);
INSERT INTO "job" VALUES(2,2,'{"text": "''\"\u00e9\n2", "number": 0.25, "many": [null, true, {"a": 2}]}','Running','reason 2 ''é
',NULL,2,2,2,2,2,'worker 2',0,1.70000000212345600122e+09,1.70000000212345600122e+09,1.70000000212345600122e+09,1.70000000212345600122e+09,1.70000000212345600122e+09,1.70000000212345600122e+09);
INSERT INTO "job" VALUES(3,3,'{"text": "''\"\u00e9\n3", "number": 0.375, "many": [null, true, {"a": 3}]}','Submitted','reason 3',NULL,NULL,3,3,3,3,NULL,0,1.70000000312345600126e+09,1.70000000312345600126e+09,NULL,NULL,1.70000000312345600126e+09,NULL);
CREATE TABLE job_attempt (
	submission BIGINT NOT NULL, 
	number BIGINT NOT NULL, 
	attempt INTEGER NOT NULL, 
	worker VARCHAR NOT NULL, 
	assigned_s DOUBLE NOT NULL, 
	started_s DOUBLE, 
	ended_s DOUBLE, 
	cause VARCHAR, 
	exit_code INTEGER, 
	message VARCHAR NOT NULL, 
	stdout_tail VARCHAR NOT NULL, 
	stderr_tail VARCHAR NOT NULL, 
	max_rss_bytes BIGINT, 
	cpu_s DOUBLE, 
	CONSTRAINT pk_job_attempt PRIMARY KEY (submission, number, attempt), 
	CONSTRAINT fk_job_attempt_submission FOREIGN KEY(submission, number) REFERENCES job (submission, number)
);
INSERT INTO "job_attempt" VALUES(1,1,1,'worker 1',1.70000000112345600123e+09,1.70000000112345600123e+09,1.70000000112345600123e+09,'cause 1',1,'message 1','stdout tail 1','stderr tail 1',9007199254740993,1.70000000112345600123e+09);
INSERT INTO "job_attempt" VALUES(2,2,2,'worker 2 ''é
',1.70000000212345600122e+09,1.70000000212345600122e+09,1.70000000212345600122e+09,'cause 2 ''é
',2,'message 2 ''é
','stdout tail 2 ''é
','stderr tail 2 ''é
',9007199254740994,1.70000000212345600122e+09);
INSERT INTO "job_attempt" VALUES(3,3,3,'worker 3',1.70000000312345600126e+09,NULL,NULL,NULL,NULL,'message 3','stdout tail 3','stderr tail 3',NULL,NULL);
CREATE TABLE job_event (
	id INTEGER NOT NULL, 
	submission BIGINT NOT NULL, 
	number BIGINT NOT NULL, 
	attempt INTEGER NOT NULL, 
	time_s DOUBLE NOT NULL, 
	state VARCHAR NOT NULL, 
	worker VARCHAR, 
	reason VARCHAR NOT NULL, 
	CONSTRAINT pk_job_event PRIMARY KEY (id), 
	CONSTRAINT fk_job_event_submission FOREIGN KEY(submission, number) REFERENCES job (submission, number)
);
INSERT INTO "job_event" VALUES(1,1,1,1,1.70000000112345600123e+09,'state 1','worker 1','reason 1');
INSERT INTO "job_event" VALUES(2,2,2,2,1.70000000212345600122e+09,'state 2 ''é
','worker 2 ''é
','reason 2 ''é
');
INSERT INTO "job_event" VALUES(3,3,3,3,1.70000000312345600126e+09,'state 3',NULL,'reason 3');
CREATE TABLE lease (
	name VARCHAR NOT NULL, 
	token BIGINT NOT NULL, 
	holder VARCHAR NOT NULL, 
	process VARCHAR NOT NULL, 
	since_s DOUBLE NOT NULL, 
	heartbeat_s DOUBLE NOT NULL, 
	stop_asked BOOLEAN NOT NULL, 
	CONSTRAINT pk_lease PRIMARY KEY (name)
);
INSERT INTO "lease" VALUES('name 1',9007199254740993,'holder 1','process 1',1.70000000112345600123e+09,1.70000000112345600123e+09,1);
INSERT INTO "lease" VALUES('name 2 ''é
',9007199254740994,'holder 2 ''é
','process 2 ''é
',1.70000000212345600122e+09,1.70000000212345600122e+09,0);
INSERT INTO "lease" VALUES('name 3',9007199254740995,'holder 3','process 3',1.70000000312345600126e+09,1.70000000312345600126e+09,0);
CREATE TABLE object (
	id VARCHAR NOT NULL, 
	lfn VARCHAR, 
	version INTEGER NOT NULL, 
	kind VARCHAR NOT NULL, 
	filename VARCHAR NOT NULL, 
	size_bytes BIGINT NOT NULL, 
	sha256 VARCHAR NOT NULL, 
	created_s DOUBLE NOT NULL, 
	data_class VARCHAR NOT NULL, 
	owner VARCHAR NOT NULL, 
	digest VARCHAR, 
	review VARCHAR NOT NULL, 
	original VARCHAR, 
	rekeyed_as VARCHAR, 
	patient VARCHAR, 
	patient_sex VARCHAR, 
	patient_age DOUBLE, 
	study_uid VARCHAR, 
	study_date VARCHAR, 
	study_description VARCHAR, 
	series_uid VARCHAR, 
	series_date VARCHAR, 
	series_number BIGINT, 
	series_description VARCHAR, 
	modality VARCHAR, 
	body_part_examined VARCHAR, 
	protocol_name VARCHAR, 
	manufacturer VARCHAR, 
	manufacturer_model_name VARCHAR, 
	magnetic_field_strength DOUBLE, 
	repetition_time DOUBLE, 
	echo_time DOUBLE, 
	slice_thickness DOUBLE, 
	rows BIGINT, 
	columns BIGINT, 
	number_of_slices BIGINT, 
	number_of_timepoints BIGINT, 
	number_of_frames BIGINT, 
	number_of_instances BIGINT, 
	voxel_size_x DOUBLE, 
	voxel_size_y DOUBLE, 
	voxel_size_z DOUBLE, 
	session VARCHAR, 
	task VARCHAR, 
	acquisition VARCHAR, 
	run VARCHAR, 
	suffix VARCHAR, 
	datatype VARCHAR, 
	attributes JSON NOT NULL, 
	CONSTRAINT pk_object PRIMARY KEY (id), 
	CONSTRAINT uq_object_lfn UNIQUE (lfn), 
	CONSTRAINT fk_object_patient FOREIGN KEY(patient) REFERENCES patient (pseudonym)
);
INSERT INTO "object" VALUES('id 1','lfn 1',1,'series','filename 1',9007199254740993,'sha256 1',1.70000000112345600123e+09,'nominative','owner 1','digest 1','','original 1','rekeyed as 1','pseudonym 1','patient sex 1',1.70000000112345600123e+09,'study uid 1','study date 1','study description 1','series uid 1','series date 1',9007199254740993,'series description 1','modality 1','body part examined 1','protocol name 1','manufacturer 1','manufacturer model name 1',1.70000000112345600123e+09,1.70000000112345600123e+09,1.70000000112345600123e+09,1.70000000112345600123e+09,9007199254740993,9007199254740993,9007199254740993,9007199254740993,9007199254740993,9007199254740993,1.70000000112345600123e+09,1.70000000112345600123e+09,1.70000000112345600123e+09,'session 1','task 1','acquisition 1','run 1','suffix 1','datatype 1','{"text": "''\"\u00e9\n1", "number": 0.125, "many": [null, true, {"a": 1}]}');
INSERT INTO "object" VALUES('id 2 ''é
','lfn 2 ''é
',2,'volume','filename 2 ''é
',9007199254740994,'sha256 2 ''é
',1.70000000212345600122e+09,'image','owner 2 ''é
','digest 2 ''é
','needed','original 2 ''é
','rekeyed as 2 ''é
','pseudonym 2 ''é
','patient sex 2 ''é
',1.70000000212345600122e+09,'study uid 2 ''é
','study date 2 ''é
','study description 2 ''é
','series uid 2 ''é
','series date 2 ''é
',9007199254740994,'series description 2 ''é
','modality 2 ''é
','body part examined 2 ''é
','protocol name 2 ''é
','manufacturer 2 ''é
','manufacturer model name 2 ''é
',1.70000000212345600122e+09,1.70000000212345600122e+09,1.70000000212345600122e+09,1.70000000212345600122e+09,9007199254740994,9007199254740994,9007199254740994,9007199254740994,9007199254740994,9007199254740994,1.70000000212345600122e+09,1.70000000212345600122e+09,1.70000000212345600122e+09,'session 2 ''é
','task 2 ''é
','acquisition 2 ''é
','run 2 ''é
','suffix 2 ''é
','datatype 2 ''é
','{"text": "''\"\u00e9\n2", "number": 0.25, "many": [null, true, {"a": 2}]}');
INSERT INTO "object" VALUES('id 3',NULL,3,'file','filename 3',9007199254740995,'sha256 3',1.70000000312345600126e+09,'public','owner 3',NULL,'passed',NULL,NULL,'pseudonym 3',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"text": "''\"\u00e9\n3", "number": 0.375, "many": [null, true, {"a": 3}]}');
CREATE TABLE object_version (
	lfn VARCHAR NOT NULL, 
	version INTEGER NOT NULL, 
	object_id VARCHAR NOT NULL, 
	replaced_s DOUBLE NOT NULL, 
	CONSTRAINT pk_object_version PRIMARY KEY (lfn, version), 
	CONSTRAINT uq_object_version_object_id UNIQUE (object_id), 
	CONSTRAINT fk_object_version_object_id FOREIGN KEY(object_id) REFERENCES object (id) ON DELETE CASCADE
);
INSERT INTO "object_version" VALUES('lfn 1',1,'id 1',1.70000000112345600123e+09);
INSERT INTO "object_version" VALUES('lfn 2 ''é
',2,'id 2 ''é
',1.70000000212345600122e+09);
INSERT INTO "object_version" VALUES('lfn 3',3,'id 3',1.70000000312345600126e+09);
CREATE TABLE patient (
	pseudonym VARCHAR NOT NULL, 
	visits INTEGER NOT NULL, 
	CONSTRAINT pk_patient PRIMARY KEY (pseudonym)
);
INSERT INTO "patient" VALUES('pseudonym 1',1);
INSERT INTO "patient" VALUES('pseudonym 2 ''é
',2);
INSERT INTO "patient" VALUES('pseudonym 3',3);
CREATE TABLE quota (
	owner VARCHAR NOT NULL, 
	slots INTEGER, 
	jobs INTEGER, 
	CONSTRAINT pk_quota PRIMARY KEY (owner)
);
INSERT INTO "quota" VALUES('owner 1',1,1);
INSERT INTO "quota" VALUES('owner 2 ''é
',2,2);
INSERT INTO "quota" VALUES('owner 3',NULL,NULL);
CREATE TABLE replica (
	object_id VARCHAR NOT NULL, 
	se VARCHAR NOT NULL, 
	pfn VARCHAR NOT NULL, 
	size_bytes BIGINT NOT NULL, 
	sha256 VARCHAR NOT NULL, 
	created_s DOUBLE NOT NULL, 
	CONSTRAINT pk_replica PRIMARY KEY (object_id, se, pfn), 
	CONSTRAINT fk_replica_object_id FOREIGN KEY(object_id) REFERENCES object (id) ON DELETE CASCADE, 
	CONSTRAINT fk_replica_se FOREIGN KEY(se) REFERENCES storage_element (name)
);
INSERT INTO "replica" VALUES('id 1','name 1','pfn 1',9007199254740993,'sha256 1',1.70000000112345600123e+09);
INSERT INTO "replica" VALUES('id 2 ''é
','name 2 ''é
','pfn 2 ''é
',9007199254740994,'sha256 2 ''é
',1.70000000212345600122e+09);
INSERT INTO "replica" VALUES('id 3','name 3','pfn 3',9007199254740995,'sha256 3',1.70000000312345600126e+09);
CREATE TABLE scanned_file (
	owner VARCHAR NOT NULL, 
	"key" VARCHAR NOT NULL, 
	size_bytes BIGINT NOT NULL, 
	mtime_ns BIGINT NOT NULL, 
	inode BIGINT NOT NULL, 
	object_id VARCHAR, 
	outcome VARCHAR NOT NULL, 
	CONSTRAINT pk_scanned_file PRIMARY KEY (owner, "key")
);
INSERT INTO "scanned_file" VALUES('owner 1','key 1',9007199254740993,9007199254740993,9007199254740993,'object id 1','outcome 1');
INSERT INTO "scanned_file" VALUES('owner 2 ''é
','key 2 ''é
',9007199254740994,9007199254740994,9007199254740994,'object id 2 ''é
','outcome 2 ''é
');
INSERT INTO "scanned_file" VALUES('owner 3','key 3',9007199254740995,9007199254740995,9007199254740995,NULL,'outcome 3');
CREATE TABLE site (
	name VARCHAR NOT NULL, 
	site_class VARCHAR NOT NULL, 
	CONSTRAINT pk_site PRIMARY KEY (name)
);
INSERT INTO "site" VALUES('name 1','keys');
INSERT INTO "site" VALUES('name 2 ''é
','compute');
INSERT INTO "site" VALUES('name 3','store');
CREATE TABLE storage_element (
	name VARCHAR NOT NULL, 
	url VARCHAR NOT NULL, 
	site VARCHAR NOT NULL, 
	enabled BOOLEAN NOT NULL, 
	options JSON NOT NULL, 
	CONSTRAINT pk_storage_element PRIMARY KEY (name), 
	CONSTRAINT fk_storage_element_site FOREIGN KEY(site) REFERENCES site (name)
);
INSERT INTO "storage_element" VALUES('name 1','url 1','name 1',1,'{"text": "''\"\u00e9\n1", "number": 0.125, "many": [null, true, {"a": 1}]}');
INSERT INTO "storage_element" VALUES('name 2 ''é
','url 2 ''é
','name 2 ''é
',0,'{"text": "''\"\u00e9\n2", "number": 0.25, "many": [null, true, {"a": 2}]}');
INSERT INTO "storage_element" VALUES('name 3','url 3','name 3',0,'{"text": "''\"\u00e9\n3", "number": 0.375, "many": [null, true, {"a": 3}]}');
CREATE TABLE submission (
	id INTEGER NOT NULL, 
	name VARCHAR NOT NULL, 
	owner VARCHAR NOT NULL, 
	algorithm VARCHAR NOT NULL, 
	algorithm_label VARCHAR NOT NULL, 
	parameters JSON NOT NULL, 
	inputs JSON NOT NULL, 
	item_role VARCHAR, 
	se VARCHAR, 
	priority INTEGER NOT NULL, 
	created_s DOUBLE NOT NULL, 
	CONSTRAINT pk_submission PRIMARY KEY (id)
);
INSERT INTO "submission" VALUES(1,'name 1','owner 1','algorithm 1','algorithm label 1','{"text": "''\"\u00e9\n1", "number": 0.125, "many": [null, true, {"a": 1}]}','{"text": "''\"\u00e9\n1", "number": 0.125, "many": [null, true, {"a": 1}]}','item role 1','se 1',1,1.70000000112345600123e+09);
INSERT INTO "submission" VALUES(2,'name 2 ''é
','owner 2 ''é
','algorithm 2 ''é
','algorithm label 2 ''é
','{"text": "''\"\u00e9\n2", "number": 0.25, "many": [null, true, {"a": 2}]}','{"text": "''\"\u00e9\n2", "number": 0.25, "many": [null, true, {"a": 2}]}','item role 2 ''é
','se 2 ''é
',2,1.70000000212345600122e+09);
INSERT INTO "submission" VALUES(3,'name 3','owner 3','algorithm 3','algorithm label 3','{"text": "''\"\u00e9\n3", "number": 0.375, "many": [null, true, {"a": 3}]}','{"text": "''\"\u00e9\n3", "number": 0.375, "many": [null, true, {"a": 3}]}',NULL,NULL,3,1.70000000312345600126e+09);
CREATE TABLE upload (
	owner VARCHAR NOT NULL, 
	se VARCHAR NOT NULL, 
	pfn VARCHAR NOT NULL, 
	object_id VARCHAR NOT NULL, 
	reserved_s DOUBLE NOT NULL, 
	CONSTRAINT pk_upload PRIMARY KEY (se, pfn), 
	CONSTRAINT fk_upload_se FOREIGN KEY(se) REFERENCES storage_element (name)
);
INSERT INTO "upload" VALUES('owner 1','name 1','pfn 1','object id 1',1.70000000112345600123e+09);
INSERT INTO "upload" VALUES('owner 2 ''é
','name 2 ''é
','pfn 2 ''é
','object id 2 ''é
',1.70000000212345600122e+09);
INSERT INTO "upload" VALUES('owner 3','name 3','pfn 3','object id 3',1.70000000312345600126e+09);
CREATE TABLE usage (
	owner VARCHAR NOT NULL, 
	slot_s DOUBLE NOT NULL, 
	at_s DOUBLE NOT NULL, 
	CONSTRAINT pk_usage PRIMARY KEY (owner)
);
INSERT INTO "usage" VALUES('owner 1',1.70000000112345600123e+09,1.70000000112345600123e+09);
INSERT INTO "usage" VALUES('owner 2 ''é
',1.70000000212345600122e+09,1.70000000212345600122e+09);
INSERT INTO "usage" VALUES('owner 3',1.70000000312345600126e+09,1.70000000312345600126e+09);
CREATE TABLE worker (
	name VARCHAR NOT NULL, 
	url VARCHAR NOT NULL, 
	site VARCHAR NOT NULL, 
	slots INTEGER NOT NULL, 
	tags JSON NOT NULL, 
	memory_bytes BIGINT, 
	enabled BOOLEAN NOT NULL, 
	options JSON NOT NULL, 
	CONSTRAINT pk_worker PRIMARY KEY (name), 
	CONSTRAINT fk_worker_site FOREIGN KEY(site) REFERENCES site (name)
);
INSERT INTO "worker" VALUES('name 1','url 1','name 1',1,'{"text": "''\"\u00e9\n1", "number": 0.125, "many": [null, true, {"a": 1}]}',9007199254740993,1,'{"text": "''\"\u00e9\n1", "number": 0.125, "many": [null, true, {"a": 1}]}');
INSERT INTO "worker" VALUES('name 2 ''é
','url 2 ''é
','name 2 ''é
',2,'{"text": "''\"\u00e9\n2", "number": 0.25, "many": [null, true, {"a": 2}]}',9007199254740994,0,'{"text": "''\"\u00e9\n2", "number": 0.25, "many": [null, true, {"a": 2}]}');
INSERT INTO "worker" VALUES('name 3','url 3','name 3',3,'{"text": "''\"\u00e9\n3", "number": 0.375, "many": [null, true, {"a": 3}]}',NULL,0,'{"text": "''\"\u00e9\n3", "number": 0.375, "many": [null, true, {"a": 3}]}');
CREATE TABLE worker_health (
	worker VARCHAR NOT NULL, 
	failures INTEGER NOT NULL, 
	outages INTEGER NOT NULL, 
	since_s DOUBLE NOT NULL, 
	until_s DOUBLE NOT NULL, 
	reason VARCHAR NOT NULL, 
	CONSTRAINT pk_worker_health PRIMARY KEY (worker)
);
INSERT INTO "worker_health" VALUES('worker 1',1,1,1.70000000112345600123e+09,1.70000000112345600123e+09,'reason 1');
INSERT INTO "worker_health" VALUES('worker 2 ''é
',2,2,1.70000000212345600122e+09,1.70000000212345600122e+09,'reason 2 ''é
');
INSERT INTO "worker_health" VALUES('worker 3',3,3,1.70000000312345600126e+09,1.70000000312345600126e+09,'reason 3');
CREATE TABLE worker_link (
	worker VARCHAR NOT NULL, 
	agent_id VARCHAR, 
	journal_offset BIGINT NOT NULL, 
	info JSON NOT NULL, 
	down_since_s DOUBLE, 
	reason VARCHAR NOT NULL, 
	lost_at_s DOUBLE, 
	CONSTRAINT pk_worker_link PRIMARY KEY (worker)
);
INSERT INTO "worker_link" VALUES('worker 1','agent id 1',9007199254740993,'{"text": "''\"\u00e9\n1", "number": 0.125, "many": [null, true, {"a": 1}]}',1.70000000112345600123e+09,'reason 1',1.70000000112345600123e+09);
INSERT INTO "worker_link" VALUES('worker 2 ''é
','agent id 2 ''é
',9007199254740994,'{"text": "''\"\u00e9\n2", "number": 0.25, "many": [null, true, {"a": 2}]}',1.70000000212345600122e+09,'reason 2 ''é
',1.70000000212345600122e+09);
INSERT INTO "worker_link" VALUES('worker 3',NULL,9007199254740995,'{"text": "''\"\u00e9\n3", "number": 0.375, "many": [null, true, {"a": 3}]}',NULL,'reason 3',NULL);
CREATE INDEX ix_patient_visits ON patient (visits);
CREATE INDEX ix_derivation_algorithm_name ON derivation (algorithm_name, algorithm_version);
CREATE INDEX ix_derivation_submission ON derivation (submission, job_number);
CREATE INDEX ix_derivation_algorithm ON derivation (algorithm);
CREATE INDEX ix_derivation_link_input_id ON derivation_link (input_id);
CREATE INDEX ix_submission_owner_created_s ON submission (owner, created_s);
CREATE INDEX ix_object_patient_study_date ON object (patient, study_date, lfn);
CREATE INDEX ix_object_study_uid ON object (study_uid, lfn);
CREATE INDEX ix_object_kind ON object (kind, lfn);
CREATE INDEX ix_object_suffix_task_run ON object (suffix, task, run, lfn);
CREATE INDEX ix_object_study_date ON object (study_date, lfn);
CREATE INDEX ix_object_created_s ON object (created_s, lfn);
CREATE INDEX ix_object_owner ON object (owner, lfn);
CREATE INDEX ix_object_original ON object (original, lfn);
CREATE INDEX ix_object_series_description_study_date ON object (series_description, study_date, lfn);
CREATE INDEX ix_object_series_uid ON object (series_uid, lfn);
CREATE INDEX ix_object_modality_body_part_examined_study_date ON object (modality, body_part_examined, study_date, lfn);
CREATE INDEX ix_object_protocol_name_study_date ON object (protocol_name, study_date, lfn);
CREATE INDEX ix_object_patient_age ON object (patient_age, lfn);
CREATE INDEX ix_care_identity_role ON care (identity, role);
CREATE INDEX ix_dataset_member_object_id ON dataset_member (object_id);
CREATE INDEX ix_derivation_input_object_id ON derivation_input (object_id);
CREATE INDEX ix_job_state_submission_number ON job (state, submission, number);
CREATE INDEX ix_replica_se_pfn ON replica (se, pfn);
CREATE INDEX ix_upload_object_id ON upload (object_id);
CREATE INDEX ix_attribute_name_num_object_id ON attribute (name, num, object_id);
CREATE INDEX ix_attribute_name_text_object_id ON attribute (name, text, object_id);
CREATE INDEX ix_access_grant_granted_by ON access_grant (granted_by);
CREATE INDEX ix_access_grant_identity_dataset ON access_grant (identity, dataset);
CREATE INDEX ix_job_event_submission_number ON job_event (submission, number);
COMMIT;
