-- The door of a key store on a PostgreSQL server where each user has a role of their own.
--
-- Who asks is the session's user: nothing a client says can change that. Secrets are in columns that
-- no user's role may read; functions give them out, in two steps: `keystore_ask` writes the record
-- and names a ticket, and `keystore_take_*` wants a ticket whose transaction was committed. In one
-- step a client could read and then undo the record.

CREATE TABLE ticket (
    first_seq bigint PRIMARY KEY,
    last_seq bigint NOT NULL,
    identity text NOT NULL,
    kind text NOT NULL,
    digest bytea NOT NULL,
    written_by xid8 NOT NULL DEFAULT pg_current_xact_id(),
    made_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- -- who asks -------------------------------------------------------------------------------------

CREATE FUNCTION keystore_is_owner() RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
    SELECT pg_has_role(session_user, relowner, 'USAGE') FROM pg_class WHERE oid = 'audit'::regclass
$$;

-- the identity of the session; the owner of the tables acts for whom it says
CREATE FUNCTION keystore_me() RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
    SELECT coalesce(
        (SELECT identity FROM member_role WHERE role_name = session_user),
        CASE WHEN keystore_is_owner() THEN current_setting('medgrid.who', true) END)
$$;

CREATE FUNCTION keystore_is(wanted text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
    SELECT EXISTS (SELECT FROM member_role
        WHERE role_name = session_user AND wanted = ANY (string_to_array(roles, ' ')))
$$;

-- whether the session's identity can open a compartment; any revision, any class when null
-- (volatile: a statement that enters several wraps sees the first of them)
CREATE FUNCTION keystore_holds(p text, c text, r integer DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
BEGIN
    RETURN EXISTS (SELECT FROM wrap WHERE recipient = keystore_me() AND patient = p
        AND (c IS NULL OR data_class = c) AND (r IS NULL OR revision = r));
END $$;

-- whether it may change who opens it
CREATE FUNCTION keystore_heads(p text, c text, r integer DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
BEGIN
    RETURN keystore_is('physician') AND keystore_holds(p, c, r);
END $$;

-- the same as it was before the statement: one may destroy one's own wrap and others at once
CREATE FUNCTION keystore_headed(p text, c text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
    SELECT keystore_is('physician') AND EXISTS (SELECT FROM wrap
        WHERE recipient = keystore_me() AND patient = p AND (c IS NULL OR data_class = c))
$$;

CREATE FUNCTION keystore_held(p text, c text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
    SELECT EXISTS (SELECT FROM wrap
        WHERE recipient = keystore_me() AND patient = p AND (c IS NULL OR data_class = c))
$$;

-- whether the session's identity made a compartment, and whether nobody can open it yet
CREATE FUNCTION keystore_made(p text, c text, r integer) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
BEGIN
    RETURN EXISTS (SELECT FROM compartment WHERE patient = p AND data_class = c AND revision = r
        AND signer = keystore_me());
END $$;

CREATE FUNCTION keystore_is_new(p text, c text, r integer) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
BEGIN
    RETURN NOT EXISTS (SELECT FROM wrap WHERE patient = p AND data_class = c AND revision = r);
END $$;

-- whether it may read an object, as far as keys tell
CREATE FUNCTION keystore_may_read(o text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
BEGIN
    RETURN EXISTS (SELECT FROM protected p WHERE p.object_id = o
            AND (p.owner = keystore_me() OR keystore_holds(p.patient, p.data_class)))
        OR EXISTS (SELECT FROM header h WHERE h.object_id = o AND h.recipient = keystore_me())
        OR EXISTS (SELECT FROM grant_header g WHERE g.object_id = o
            AND g.recipient = keystore_me() AND g.until_us > keystore_now());
END $$;

-- whether it may give away or destroy an object's keys
CREATE FUNCTION keystore_may_manage(o text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
BEGIN
    RETURN EXISTS (SELECT FROM protected p WHERE p.object_id = o
        AND (p.owner = keystore_me() OR keystore_heads(p.patient, p.data_class)));
END $$;

CREATE FUNCTION keystore_may_grant(o text) RETURNS boolean
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
    SELECT keystore_may_manage(o)
        AND EXISTS (SELECT FROM protected WHERE object_id = o AND data_class = 'image')
$$;

CREATE FUNCTION keystore_lent(s integer) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
BEGIN
    RETURN EXISTS (SELECT FROM delegation WHERE submission = s AND owner = keystore_me());
END $$;

CREATE FUNCTION keystore_now() RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
$$;

-- -- the record -----------------------------------------------------------------------------------

CREATE FUNCTION keystore_field(value text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT octet_length(value) || ':' || value || ','
$$;

-- same bytes as `Record.to_bytes`
CREATE FUNCTION keystore_append(verbs text[], things text[], patients text[], details text[])
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
DECLARE
    me text := keystore_me();
    first bigint;
    now_us bigint;
BEGIN
    IF me IS NULL THEN
        RAISE insufficient_privilege USING MESSAGE = 'this user is no identity of the grid';
    END IF;
    LOCK TABLE audit IN SHARE ROW EXCLUSIVE MODE;
    SELECT coalesce(max(seq) + 1, 0) INTO first FROM audit;
    now_us := keystore_now();
    INSERT INTO audit (seq, time_us, who, verb, thing, patient, detail, leaf)
    SELECT first + n - 1, now_us, me, verb, thing, patient, detail,
        sha256('\x00'::bytea || convert_to(
            keystore_field((first + n - 1)::text) || keystore_field(now_us::text)
            || keystore_field(me) || keystore_field(verb) || keystore_field(thing)
            || keystore_field(patient) || keystore_field(detail), 'UTF8'))
    FROM unnest(verbs, things, patients, details)
        WITH ORDINALITY AS event (verb, thing, patient, detail, n);
    RETURN first;
END $$;

CREATE FUNCTION keystore_leaves(start bigint, count integer)
RETURNS TABLE (seq bigint, leaf bytea)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
    SELECT a.seq, a.leaf FROM audit a WHERE a.seq >= start ORDER BY a.seq LIMIT count
$$;

-- what the session's identity did, what was done with its patients' data; all, for a registrar
CREATE FUNCTION keystore_records(start bigint, count integer)
RETURNS TABLE (seq bigint, time_us bigint, who text, verb text, thing text, patient text,
    detail text)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
    WITH mine AS MATERIALIZED (
        SELECT DISTINCT w.patient FROM wrap w WHERE w.recipient = keystore_me())
    SELECT a.seq, a.time_us, a.who, a.verb, a.thing, a.patient, a.detail FROM audit a
    WHERE a.seq >= start AND (keystore_is_owner() OR keystore_is('registrar')
        OR a.who = keystore_me() OR a.patient IN (SELECT m.patient FROM mine m))
    ORDER BY a.seq LIMIT count
$$;

CREATE FUNCTION keystore_numbered(numbers bigint[])
RETURNS TABLE (seq bigint, time_us bigint, who text, verb text, thing text, patient text,
    detail text)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
    WITH me AS MATERIALIZED (
        SELECT keystore_me() AS name, keystore_is_owner() OR keystore_is('registrar') AS sees_all)
    SELECT a.seq, a.time_us, a.who, a.verb, a.thing, a.patient, a.detail FROM audit a, me
    WHERE a.seq = ANY (numbers) AND (me.sees_all OR a.who = me.name
        OR EXISTS (SELECT FROM wrap w WHERE w.recipient = me.name AND w.patient = a.patient))
    ORDER BY a.seq
$$;

-- numbers of such records by the first that is given, each with an index of its own
CREATE FUNCTION keystore_found(names text[], since_us bigint, by_whom text)
RETURNS SETOF bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
    WITH chosen AS MATERIALIZED (
        SELECT a.seq FROM audit a WHERE a.verb = ANY (names)
        UNION SELECT a.seq FROM audit a WHERE a.thing = ANY (names)
        UNION SELECT a.seq FROM audit a WHERE a.patient = ANY (names)
        UNION SELECT a.seq FROM audit a WHERE names IS NULL AND a.time_us >= since_us
        UNION SELECT a.seq FROM audit a
            WHERE names IS NULL AND since_us IS NULL AND a.who = by_whom)
    SELECT n.seq FROM keystore_numbered(ARRAY(SELECT c.seq FROM chosen c)) n ORDER BY n.seq
$$;

-- -- giving out -----------------------------------------------------------------------------------

CREATE FUNCTION keystore_openable(ids text[])
RETURNS TABLE (object_id text, patient text, data_class text, revision integer, recipient text,
    sealed bytea, manifest bytea, until_us bigint)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
    -- each step is materialized: what is joined first must not hang on statistics
    WITH me AS MATERIALIZED (SELECT keystore_me() AS name, keystore_now() AS now_us),
    wanted AS MATERIALIZED (
        SELECT p.object_id, p.patient, p.data_class, p.manifest
        FROM unnest(ids) AS u (id) JOIN protected p ON p.object_id = u.id),
    sealed AS MATERIALIZED (
        SELECT w.*, h.revision, h.recipient, h.sealed
        FROM me, wanted w JOIN header h ON h.object_id = w.object_id
        WHERE h.recipient IN ('', me.name)),
    granted AS MATERIALIZED (
        SELECT w.*, g.recipient, g.sealed, g.until_us
        FROM me, wanted w JOIN grant_header g ON g.object_id = w.object_id
        WHERE g.recipient = me.name AND g.until_us > me.now_us AND w.data_class = 'image'),
    held AS MATERIALIZED (
        SELECT k.patient, k.data_class, k.revision FROM me, wrap k
        WHERE k.recipient = me.name AND k.patient IN (SELECT w.patient FROM wanted w))
    SELECT DISTINCT ON (f.object_id) f.object_id, f.patient, f.data_class, f.revision,
        f.recipient, f.sealed, f.manifest, f.until_us
    FROM (
        SELECT s.object_id, s.patient, s.data_class, s.revision, s.recipient, s.sealed,
            s.manifest, NULL::bigint AS until_us, CASE s.recipient WHEN '' THEN 2 ELSE 1 END AS rank
        FROM sealed s
        WHERE s.recipient <> ''
            OR (s.patient, s.data_class, s.revision) IN (SELECT * FROM held)
        UNION ALL
        SELECT g.object_id, g.patient, g.data_class, NULL, g.recipient, g.sealed,
            g.manifest, g.until_us, 3
        FROM granted g
    ) AS f
    ORDER BY f.object_id, f.rank
$$;

CREATE FUNCTION keystore_digest(things text[]) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT sha256(convert_to(coalesce(string_agg(
        octet_length(t)::text || ':' || t || ',', '' ORDER BY n), ''), 'UTF8'))
    FROM unnest(things) WITH ORDINALITY AS u (t, n)
$$;

CREATE FUNCTION keystore_ask(kind text, things text[], purpose text) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
DECLARE
    verbs text[];
    patients text[];
    count integer := coalesce(cardinality(things), 0);
    first bigint;
    keys integer;
BEGIN
    purpose := left(purpose, 200);
    IF kind = 'headers' THEN
        SELECT array_agg(CASE WHEN o.object_id IS NULL THEN 'refuse' ELSE 'release' END ORDER BY n),
            array_agg(coalesce(o.patient, '') ORDER BY n)
        INTO verbs, patients
        FROM unnest(things) WITH ORDINALITY AS u (id, n)
            LEFT JOIN keystore_openable(things) o ON o.object_id = u.id;
        first := keystore_append(verbs,
            ARRAY(SELECT CASE WHEN id ~ '^[0-9a-f]{32}$' THEN id ELSE '' END
                FROM unnest(things) WITH ORDINALITY AS u (id, n) ORDER BY n),
            patients, array_fill(purpose, ARRAY[count]));
    ELSIF kind IN ('wraps', 'seals') THEN
        count := 1;
        first := keystore_append(
            ARRAY[CASE kind WHEN 'wraps' THEN 'unwrap' ELSE 'name' END], ARRAY[''],
            ARRAY[CASE WHEN cardinality(things) = 1 THEN things[1] ELSE '' END],
            ARRAY[CASE WHEN cardinality(things) = 1 THEN purpose
                ELSE trim(purpose || ' (' || cardinality(things) || ' patients)') END]);
    ELSIF kind = 'delegation' THEN
        count := 1;
        SELECT count(*) INTO keys FROM keystore_boxes(things);
        first := keystore_append(
            ARRAY[CASE WHEN keys > 0 THEN 'borrow' ELSE 'refuse' END], ARRAY[things[1]],
            ARRAY[''], ARRAY[keys || ' keys']);
    ELSIF kind = 'recovery' THEN
        IF NOT (keystore_is('registrar') OR keystore_is_owner()) THEN
            RAISE insufficient_privilege USING MESSAGE = 'only a registrar recovers';
        END IF;
        count := 1;
        first := keystore_append(ARRAY['recovery'], ARRAY[''], ARRAY[''], ARRAY[purpose]);
    ELSE
        RAISE invalid_parameter_value USING MESSAGE = 'no such kind';
    END IF;
    DELETE FROM ticket WHERE made_at < clock_timestamp() - interval '1 hour';
    INSERT INTO ticket (first_seq, last_seq, identity, kind, digest)
    VALUES (first, first + count - 1, keystore_me(), kind, keystore_digest(things));
    RETURN first;
END $$;

-- refuses a ticket of somebody else, for other things, too old, or not written down for good
CREATE FUNCTION keystore_check(first bigint, wanted text, things text[]) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
DECLARE
    last bigint;
BEGIN
    SELECT t.last_seq INTO last FROM ticket t
    WHERE t.first_seq = first AND t.identity = keystore_me() AND t.kind = wanted
        AND t.digest = keystore_digest(things)
        AND t.made_at > clock_timestamp() - interval '1 minute'
        AND pg_xact_status(t.written_by) = 'committed';
    IF last IS NULL THEN
        RAISE insufficient_privilege USING MESSAGE = 'nothing is given out without a record';
    END IF;
    RETURN last;
END $$;

CREATE FUNCTION keystore_take_headers(first bigint, things text[])
RETURNS TABLE (object_id text, patient text, data_class text, revision integer, recipient text,
    sealed bytea, manifest bytea, until_us bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
DECLARE
    last bigint := keystore_check(first, 'headers', things);
BEGIN
    RETURN QUERY SELECT * FROM keystore_openable(ARRAY(SELECT a.thing FROM audit a
        WHERE a.seq BETWEEN first AND last AND a.verb = 'release'));
END $$;

CREATE FUNCTION keystore_take_wraps(first bigint, things text[])
RETURNS TABLE (patient text, data_class text, revision integer, recipient text, sealed bytea)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
DECLARE
    me text := keystore_me();
BEGIN
    PERFORM keystore_check(first, 'wraps', things);
    RETURN QUERY SELECT w.patient::text, w.data_class::text, w.revision, w.recipient::text, w.sealed
        FROM unnest(things) AS u (id) JOIN wrap w ON w.patient = u.id
        WHERE w.recipient = me;
END $$;

CREATE FUNCTION keystore_take_seals(first bigint, things text[])
RETURNS TABLE (patient text, revision integer, sealed bytea)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
DECLARE
    me text := keystore_me();
BEGIN
    PERFORM keystore_check(first, 'seals', things);
    RETURN QUERY SELECT s.patient::text, s.revision, s.sealed
        FROM unnest(things) AS u (id) JOIN seal s ON s.patient = u.id
        JOIN wrap w ON w.patient = s.patient AND w.data_class = 'nominative'
            AND w.revision = s.revision
        WHERE w.recipient = me;
END $$;

-- boxes of a submission, things[1], and of the jobs that are numbered after it, or of all
CREATE FUNCTION keystore_boxes(things text[])
RETURNS TABLE (number integer, object_id text, box bytea, manifest bytea)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
    SELECT b.number, b.object_id, b.box, p.manifest
    FROM delegation_box b LEFT JOIN protected p ON p.object_id = b.object_id
    WHERE b.submission = things[1]::integer
        AND (cardinality(things) = 1 OR b.number = ANY (things[2:]::integer[]))
        AND (EXISTS (SELECT FROM delegation_key k WHERE k.submission = b.submission
                AND k.recipient = keystore_me())
            OR EXISTS (SELECT FROM delegation d WHERE d.submission = b.submission
                AND d.owner = keystore_me()))
    ORDER BY b.number, b.object_id
$$;

CREATE FUNCTION keystore_take_boxes(first bigint, things text[])
RETURNS TABLE (number integer, object_id text, box bytea, manifest bytea)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
BEGIN
    PERFORM keystore_check(first, 'delegation', things);
    RETURN QUERY SELECT * FROM keystore_boxes(things);
END $$;

CREATE FUNCTION keystore_take_key(first bigint, things text[]) RETURNS bytea
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
BEGIN
    PERFORM keystore_check(first, 'delegation', things);
    RETURN (SELECT k.sealed FROM delegation_key k
        WHERE k.submission = things[1]::integer AND k.recipient = keystore_me());
END $$;

CREATE FUNCTION keystore_take_recovery_wraps(first bigint)
RETURNS TABLE (patient text, data_class text, revision integer, recipient text, sealed bytea)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
BEGIN
    PERFORM keystore_check(first, 'recovery', '{}');
    RETURN QUERY SELECT w.patient::text, w.data_class::text, w.revision, w.recipient::text, w.sealed
        FROM wrap w WHERE w.recipient = 'recovery';
END $$;

CREATE FUNCTION keystore_take_recovery_headers(first bigint)
RETURNS TABLE (object_id text, patient text, data_class text, revision integer, recipient text,
    sealed bytea, manifest bytea)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
BEGIN
    PERFORM keystore_check(first, 'recovery', '{}');
    RETURN QUERY SELECT p.object_id::text, p.patient::text, p.data_class::text, h.revision,
            h.recipient::text, h.sealed, p.manifest
        FROM header h JOIN protected p ON p.object_id = h.object_id
        WHERE h.recipient = 'recovery';
END $$;

CREATE FUNCTION keystore_shares(batches bytea[])
RETURNS TABLE (batch bytea, generation integer, share bytea)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
    SELECT s.batch, s.generation, s.share FROM unnest(batches) AS u (id)
        JOIN share s ON s.batch = u.id, (SELECT keystore_me() AS name) AS me
    WHERE me.name IS NOT NULL
$$;

CREATE FUNCTION keystore_seal_digests() RETURNS TABLE (patient text, digest text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
    SELECT s.patient, left(encode(sha256(s.sealed), 'hex'), 16) FROM seal s
    WHERE keystore_is_owner() OR keystore_is('registrar')
        OR keystore_held(s.patient, 'nominative')
$$;

-- an interrupted write of the session's identity
CREATE FUNCTION keystore_pending(wanted text) RETURNS bytea
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
    SELECT change FROM pending WHERE write_id = wanted
        AND (identity = keystore_me() OR keystore_is_owner())
$$;

-- -- what a user's role may do with rows ----------------------------------------------------------

ALTER TABLE store ENABLE ROW LEVEL SECURITY;
CREATE POLICY look ON store FOR SELECT USING (true);

ALTER TABLE member_role ENABLE ROW LEVEL SECURITY;
ALTER TABLE ticket ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit ENABLE ROW LEVEL SECURITY;

ALTER TABLE certificate ENABLE ROW LEVEL SECURITY;
CREATE POLICY look ON certificate FOR SELECT USING (true);
CREATE POLICY enter ON certificate FOR INSERT WITH CHECK (keystore_is('registrar'));
CREATE POLICY destroy ON certificate FOR DELETE USING (keystore_is('registrar'));

ALTER TABLE document ENABLE ROW LEVEL SECURITY;
CREATE POLICY look ON document FOR SELECT USING (true);
CREATE POLICY enter ON document FOR INSERT WITH CHECK (keystore_is('registrar'));
CREATE POLICY destroy ON document FOR DELETE USING (keystore_is('registrar'));

ALTER TABLE compartment ENABLE ROW LEVEL SECURITY;
CREATE POLICY look ON compartment FOR SELECT
    USING (signer = keystore_me() OR keystore_is('broker') OR keystore_is('registrar')
        OR keystore_held(patient, NULL));
CREATE POLICY enter ON compartment FOR INSERT WITH CHECK (
    signer = keystore_me() AND (keystore_is('physician') OR keystore_is('registrar'))
    AND (revision = 1 OR keystore_heads(patient, data_class, revision - 1)));
CREATE POLICY destroy ON compartment FOR DELETE USING (keystore_heads(patient, NULL));

ALTER TABLE wrap ENABLE ROW LEVEL SECURITY;
CREATE POLICY look ON wrap FOR SELECT
    USING (recipient = keystore_me() OR keystore_held(patient, data_class));
CREATE POLICY enter ON wrap FOR INSERT WITH CHECK (
    keystore_heads(patient, data_class, revision)
    OR keystore_made(patient, data_class, revision) AND (
        keystore_holds(patient, data_class, revision)
        OR recipient = keystore_me() AND keystore_is_new(patient, data_class, revision)));
CREATE POLICY destroy ON wrap FOR DELETE
    USING (keystore_headed(patient, data_class)
        OR recipient = keystore_me() AND keystore_made(patient, data_class, revision));

ALTER TABLE seal ENABLE ROW LEVEL SECURITY;
CREATE POLICY look ON seal FOR SELECT USING (keystore_holds(patient, 'nominative'));
CREATE POLICY enter ON seal FOR INSERT WITH CHECK (
    keystore_is('registrar') OR keystore_heads(patient, 'nominative', revision));
CREATE POLICY destroy ON seal FOR DELETE USING (keystore_heads(patient, 'nominative'));

ALTER TABLE protected ENABLE ROW LEVEL SECURITY;
CREATE POLICY look ON protected FOR SELECT
    USING (owner = keystore_me() OR keystore_may_read(object_id));
CREATE POLICY enter ON protected FOR INSERT WITH CHECK (
    keystore_is('broker') OR keystore_is('registrar')
    OR owner = keystore_me() AND (patient IS NULL OR keystore_heads(patient, data_class)));
CREATE POLICY destroy ON protected FOR DELETE USING (keystore_may_manage(object_id));

ALTER TABLE header ENABLE ROW LEVEL SECURITY;
CREATE POLICY look ON header FOR SELECT USING (keystore_may_read(object_id));
CREATE POLICY enter ON header FOR INSERT
    WITH CHECK (keystore_is('broker') OR keystore_may_manage(object_id));
CREATE POLICY destroy ON header FOR DELETE USING (keystore_may_manage(object_id));

ALTER TABLE grant_header ENABLE ROW LEVEL SECURITY;
CREATE POLICY look ON grant_header FOR SELECT USING (
    recipient = keystore_me() OR granted_by = keystore_me() OR keystore_may_manage(object_id));
CREATE POLICY enter ON grant_header FOR INSERT
    WITH CHECK (granted_by = keystore_me() AND keystore_may_grant(object_id));
CREATE POLICY destroy ON grant_header FOR DELETE
    USING (granted_by = keystore_me() OR keystore_may_manage(object_id));

ALTER TABLE delegation ENABLE ROW LEVEL SECURITY;
CREATE POLICY look ON delegation FOR SELECT USING (owner = keystore_me() OR keystore_is('broker'));
CREATE POLICY enter ON delegation FOR INSERT WITH CHECK (owner = keystore_me());
CREATE POLICY destroy ON delegation FOR DELETE
    USING (owner = keystore_me() OR keystore_is('broker'));

ALTER TABLE delegation_key ENABLE ROW LEVEL SECURITY;
CREATE POLICY look ON delegation_key FOR SELECT
    USING (keystore_is('broker') OR keystore_lent(submission));
CREATE POLICY enter ON delegation_key FOR INSERT WITH CHECK (keystore_lent(submission));
CREATE POLICY destroy ON delegation_key FOR DELETE
    USING (keystore_is('broker') OR keystore_lent(submission));

ALTER TABLE delegation_box ENABLE ROW LEVEL SECURITY;
CREATE POLICY look ON delegation_box FOR SELECT
    USING (keystore_is('broker') OR keystore_lent(submission));
CREATE POLICY enter ON delegation_box FOR INSERT WITH CHECK (keystore_lent(submission));
CREATE POLICY destroy ON delegation_box FOR DELETE
    USING (keystore_is('broker') OR keystore_lent(submission));

ALTER TABLE checkpoint ENABLE ROW LEVEL SECURITY;
CREATE POLICY look ON checkpoint FOR SELECT USING (true);
CREATE POLICY enter ON checkpoint FOR INSERT WITH CHECK (signer = keystore_me());

ALTER TABLE share ENABLE ROW LEVEL SECURITY;
CREATE POLICY enter ON share FOR INSERT WITH CHECK (keystore_me() IS NOT NULL);

ALTER TABLE pending ENABLE ROW LEVEL SECURITY;
CREATE POLICY look ON pending FOR SELECT USING (true);
CREATE POLICY enter ON pending FOR INSERT WITH CHECK (identity = keystore_me());
CREATE POLICY destroy ON pending FOR DELETE USING (identity = keystore_me());
ALTER TABLE applied ENABLE ROW LEVEL SECURITY;
CREATE POLICY look ON applied FOR SELECT USING (true);
CREATE POLICY enter ON applied FOR INSERT WITH CHECK (identity = keystore_me());
CREATE POLICY destroy ON applied FOR DELETE USING (identity = keystore_me());
