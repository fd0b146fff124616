
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;

CREATE FUNCTION public.keystore_append(verbs text[], things text[], patients text[], details text[]) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
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


CREATE FUNCTION public.keystore_ask(kind text, things text[], purpose text) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $_$
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
END $_$;


CREATE FUNCTION public.keystore_boxes(things text[]) RETURNS TABLE(number integer, object_id text, box bytea, manifest bytea)
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
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


CREATE FUNCTION public.keystore_check(first bigint, wanted text, things text[]) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
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


CREATE FUNCTION public.keystore_digest(things text[]) RETURNS bytea
    LANGUAGE sql IMMUTABLE
    AS $$
    SELECT sha256(convert_to(coalesce(string_agg(
        octet_length(t)::text || ':' || t || ',', '' ORDER BY n), ''), 'UTF8'))
    FROM unnest(things) WITH ORDINALITY AS u (t, n)
$$;


CREATE FUNCTION public.keystore_field(value text) RETURNS text
    LANGUAGE sql IMMUTABLE
    AS $$
    SELECT octet_length(value) || ':' || value || ','
$$;


CREATE FUNCTION public.keystore_headed(p text, c text) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
    SELECT keystore_is('physician') AND EXISTS (SELECT FROM wrap
        WHERE recipient = keystore_me() AND patient = p AND (c IS NULL OR data_class = c))
$$;


CREATE FUNCTION public.keystore_heads(p text, c text, r integer DEFAULT NULL::integer) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    RETURN keystore_is('physician') AND keystore_holds(p, c, r);
END $$;


CREATE FUNCTION public.keystore_held(p text, c text) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
    SELECT EXISTS (SELECT FROM wrap
        WHERE recipient = keystore_me() AND patient = p AND (c IS NULL OR data_class = c))
$$;


CREATE FUNCTION public.keystore_holds(p text, c text, r integer DEFAULT NULL::integer) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    RETURN EXISTS (SELECT FROM wrap WHERE recipient = keystore_me() AND patient = p
        AND (c IS NULL OR data_class = c) AND (r IS NULL OR revision = r));
END $$;


CREATE FUNCTION public.keystore_is(wanted text) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
    SELECT EXISTS (SELECT FROM member_role
        WHERE role_name = session_user AND wanted = ANY (string_to_array(roles, ' ')))
$$;


CREATE FUNCTION public.keystore_is_new(p text, c text, r integer) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    RETURN NOT EXISTS (SELECT FROM wrap WHERE patient = p AND data_class = c AND revision = r);
END $$;


CREATE FUNCTION public.keystore_is_owner() RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
    SELECT pg_has_role(session_user, relowner, 'USAGE') FROM pg_class WHERE oid = 'audit'::regclass
$$;


CREATE FUNCTION public.keystore_leaves(start bigint, count integer) RETURNS TABLE(seq bigint, leaf bytea)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
    SELECT a.seq, a.leaf FROM audit a WHERE a.seq >= start ORDER BY a.seq LIMIT count
$$;


CREATE FUNCTION public.keystore_lent(s integer) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    RETURN EXISTS (SELECT FROM delegation WHERE submission = s AND owner = keystore_me());
END $$;


CREATE FUNCTION public.keystore_made(p text, c text, r integer) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    RETURN EXISTS (SELECT FROM compartment WHERE patient = p AND data_class = c AND revision = r
        AND signer = keystore_me());
END $$;


CREATE FUNCTION public.keystore_may_grant(o text) RETURNS boolean
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
    SELECT keystore_may_manage(o)
        AND EXISTS (SELECT FROM protected WHERE object_id = o AND data_class = 'image')
$$;


CREATE FUNCTION public.keystore_may_manage(o text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    RETURN EXISTS (SELECT FROM protected p WHERE p.object_id = o
        AND (p.owner = keystore_me() OR keystore_heads(p.patient, p.data_class)));
END $$;


CREATE FUNCTION public.keystore_may_read(o text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    RETURN EXISTS (SELECT FROM protected p WHERE p.object_id = o
            AND (p.owner = keystore_me() OR keystore_holds(p.patient, p.data_class)))
        OR EXISTS (SELECT FROM header h WHERE h.object_id = o AND h.recipient = keystore_me())
        OR EXISTS (SELECT FROM grant_header g WHERE g.object_id = o
            AND g.recipient = keystore_me() AND g.until_us > keystore_now());
END $$;


CREATE FUNCTION public.keystore_me() RETURNS text
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
    SELECT coalesce(
        (SELECT identity FROM member_role WHERE role_name = session_user),
        CASE WHEN keystore_is_owner() THEN current_setting('medgrid.who', true) END)
$$;


CREATE FUNCTION public.keystore_now() RETURNS bigint
    LANGUAGE sql
    AS $$
    SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
$$;


CREATE FUNCTION public.keystore_openable(ids text[]) RETURNS TABLE(object_id text, patient text, data_class text, revision integer, recipient text, sealed bytea, manifest bytea, until_us bigint)
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
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


CREATE FUNCTION public.keystore_pending(wanted text) RETURNS bytea
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
    SELECT change FROM pending WHERE write_id = wanted
        AND (identity = keystore_me() OR keystore_is_owner())
$$;


CREATE FUNCTION public.keystore_records(start bigint, count integer) RETURNS TABLE(seq bigint, time_us bigint, who text, verb text, thing text, patient text, detail text)
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
    WITH mine AS MATERIALIZED (
        SELECT DISTINCT w.patient FROM wrap w WHERE w.recipient = keystore_me())
    SELECT a.seq, a.time_us, a.who, a.verb, a.thing, a.patient, a.detail FROM audit a
    WHERE a.seq >= start AND (keystore_is_owner() OR keystore_is('registrar')
        OR a.who = keystore_me() OR a.patient IN (SELECT m.patient FROM mine m))
    ORDER BY a.seq LIMIT count
$$;


CREATE FUNCTION public.keystore_seal_digests() RETURNS TABLE(patient text, digest text)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
    SELECT s.patient, left(encode(sha256(s.sealed), 'hex'), 16) FROM seal s
    WHERE keystore_is_owner() OR keystore_is('registrar')
        OR keystore_held(s.patient, 'nominative')
$$;


CREATE FUNCTION public.keystore_shares(batches bytea[]) RETURNS TABLE(batch bytea, generation integer, share bytea)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
    SELECT s.batch, s.generation, s.share FROM unnest(batches) AS u (id)
        JOIN share s ON s.batch = u.id, (SELECT keystore_me() AS name) AS me
    WHERE me.name IS NOT NULL
$$;


CREATE FUNCTION public.keystore_take_boxes(first bigint, things text[]) RETURNS TABLE(number integer, object_id text, box bytea, manifest bytea)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    PERFORM keystore_check(first, 'delegation', things);
    RETURN QUERY SELECT * FROM keystore_boxes(things);
END $$;


CREATE FUNCTION public.keystore_take_headers(first bigint, things text[]) RETURNS TABLE(object_id text, patient text, data_class text, revision integer, recipient text, sealed bytea, manifest bytea, until_us bigint)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    last bigint := keystore_check(first, 'headers', things);
BEGIN
    RETURN QUERY SELECT * FROM keystore_openable(ARRAY(SELECT a.thing FROM audit a
        WHERE a.seq BETWEEN first AND last AND a.verb = 'release'));
END $$;


CREATE FUNCTION public.keystore_take_key(first bigint, things text[]) RETURNS bytea
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    PERFORM keystore_check(first, 'delegation', things);
    RETURN (SELECT k.sealed FROM delegation_key k
        WHERE k.submission = things[1]::integer AND k.recipient = keystore_me());
END $$;


CREATE FUNCTION public.keystore_take_recovery_headers(first bigint) RETURNS TABLE(object_id text, patient text, data_class text, revision integer, recipient text, sealed bytea, manifest bytea)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    PERFORM keystore_check(first, 'recovery', '{}');
    RETURN QUERY SELECT p.object_id::text, p.patient::text, p.data_class::text, h.revision,
            h.recipient::text, h.sealed, p.manifest
        FROM header h JOIN protected p ON p.object_id = h.object_id
        WHERE h.recipient = 'recovery';
END $$;


CREATE FUNCTION public.keystore_take_recovery_wraps(first bigint) RETURNS TABLE(patient text, data_class text, revision integer, recipient text, sealed bytea)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    PERFORM keystore_check(first, 'recovery', '{}');
    RETURN QUERY SELECT w.patient::text, w.data_class::text, w.revision, w.recipient::text, w.sealed
        FROM wrap w WHERE w.recipient = 'recovery';
END $$;


CREATE FUNCTION public.keystore_take_seals(first bigint, things text[]) RETURNS TABLE(patient text, revision integer, sealed bytea)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
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


CREATE FUNCTION public.keystore_take_wraps(first bigint, things text[]) RETURNS TABLE(patient text, data_class text, revision integer, recipient text, sealed bytea)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    me text := keystore_me();
BEGIN
    PERFORM keystore_check(first, 'wraps', things);
    RETURN QUERY SELECT w.patient::text, w.data_class::text, w.revision, w.recipient::text, w.sealed
        FROM unnest(things) AS u (id) JOIN wrap w ON w.patient = u.id
        WHERE w.recipient = me;
END $$;




CREATE TABLE public.applied (
    write_id character varying NOT NULL,
    identity character varying NOT NULL
);


CREATE TABLE public.audit (
    seq bigint NOT NULL,
    time_us bigint NOT NULL,
    who character varying NOT NULL,
    verb character varying NOT NULL,
    thing character varying NOT NULL,
    patient character varying NOT NULL,
    detail character varying NOT NULL,
    leaf bytea NOT NULL
);


CREATE TABLE public.certificate (
    name character varying NOT NULL,
    blob bytea NOT NULL
);


CREATE TABLE public.checkpoint (
    size bigint NOT NULL,
    signer character varying NOT NULL,
    time_us bigint NOT NULL,
    root bytea NOT NULL,
    signature bytea NOT NULL
);


CREATE TABLE public.compartment (
    patient character varying NOT NULL,
    data_class character varying NOT NULL,
    revision integer NOT NULL,
    public_key bytea NOT NULL,
    signer character varying NOT NULL,
    signature bytea NOT NULL
);


CREATE TABLE public.delegation (
    submission integer NOT NULL,
    owner character varying NOT NULL
);


CREATE TABLE public.delegation_box (
    submission integer NOT NULL,
    number integer NOT NULL,
    object_id character varying NOT NULL,
    box bytea NOT NULL
);


CREATE TABLE public.delegation_key (
    submission integer NOT NULL,
    recipient character varying NOT NULL,
    sealed bytea NOT NULL
);


CREATE SEQUENCE public.delegation_submission_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


ALTER SEQUENCE public.delegation_submission_seq OWNED BY public.delegation.submission;


CREATE TABLE public.document (
    name character varying NOT NULL,
    blob bytea NOT NULL
);


CREATE TABLE public.grant_header (
    object_id character varying NOT NULL,
    recipient character varying NOT NULL,
    until_us bigint NOT NULL,
    granted_by character varying NOT NULL,
    sealed bytea NOT NULL
);


CREATE TABLE public.header (
    object_id character varying NOT NULL,
    recipient character varying NOT NULL,
    revision integer,
    sealed bytea NOT NULL
);


CREATE TABLE public.member_role (
    role_name character varying NOT NULL,
    identity character varying NOT NULL,
    roles character varying NOT NULL
);


CREATE TABLE public.pending (
    write_id character varying NOT NULL,
    identity character varying NOT NULL,
    made_us bigint NOT NULL,
    change bytea NOT NULL
);


CREATE TABLE public.protected (
    object_id character varying NOT NULL,
    patient character varying,
    data_class character varying NOT NULL,
    owner character varying NOT NULL,
    manifest bytea NOT NULL
);


CREATE TABLE public.seal (
    patient character varying NOT NULL,
    revision integer NOT NULL,
    sealed bytea NOT NULL
);


CREATE TABLE public.share (
    batch bytea NOT NULL,
    generation integer NOT NULL,
    share bytea NOT NULL
);


CREATE TABLE public.store (
    store_id character varying NOT NULL,
    version integer NOT NULL,
    created_us bigint NOT NULL,
    split_id character varying,
    place integer,
    places integer,
    threshold integer
);


CREATE TABLE public.ticket (
    first_seq bigint NOT NULL,
    last_seq bigint NOT NULL,
    identity text NOT NULL,
    kind text NOT NULL,
    digest bytea NOT NULL,
    written_by xid8 DEFAULT pg_current_xact_id() NOT NULL,
    made_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);


CREATE TABLE public.wrap (
    patient character varying NOT NULL,
    data_class character varying NOT NULL,
    revision integer NOT NULL,
    recipient character varying NOT NULL,
    sealed bytea NOT NULL
);


ALTER TABLE ONLY public.delegation ALTER COLUMN submission SET DEFAULT nextval('public.delegation_submission_seq'::regclass);


INSERT INTO public.applied (write_id, identity) VALUES ('write id 1', 'identity 1');
INSERT INTO public.applied (write_id, identity) VALUES ('write id 2 ''é
', 'identity 2 ''é
');
INSERT INTO public.applied (write_id, identity) VALUES ('write id 3', 'identity 3');


INSERT INTO public.audit (seq, time_us, who, verb, thing, patient, detail, leaf) VALUES (1, 9007199254740993, 'who 1', 'verb 1', 'thing 1', 'patient 1', 'detail 1', '\x61756469742e6c65616620310001020304050607');
INSERT INTO public.audit (seq, time_us, who, verb, thing, patient, detail, leaf) VALUES (2, 9007199254740994, 'who 2 ''é
', 'verb 2 ''é
', 'thing 2 ''é
', 'patient 2 ''é
', 'detail 2 ''é
', '\x61756469742e6c6561662032000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff');
INSERT INTO public.audit (seq, time_us, who, verb, thing, patient, detail, leaf) VALUES (3, 9007199254740995, 'who 3', 'verb 3', 'thing 3', 'patient 3', 'detail 3', '\x61756469742e6c65616620330001020304050607');


INSERT INTO public.certificate (name, blob) VALUES ('name 1', '\x63657274696669636174652e626c6f6220310001020304050607');
INSERT INTO public.certificate (name, blob) VALUES ('name 2 ''é
', '\x63657274696669636174652e626c6f622032000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff');
INSERT INTO public.certificate (name, blob) VALUES ('name 3', '\x63657274696669636174652e626c6f6220330001020304050607');


INSERT INTO public.checkpoint (size, signer, time_us, root, signature) VALUES (1, 'signer 1', 9007199254740993, '\x636865636b706f696e742e726f6f7420310001020304050607', '\x636865636b706f696e742e7369676e617475726520310001020304050607');
INSERT INTO public.checkpoint (size, signer, time_us, root, signature) VALUES (2, 'signer 2 ''é
', 9007199254740994, '\x636865636b706f696e742e726f6f742032000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff', '\x636865636b706f696e742e7369676e61747572652032000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff');
INSERT INTO public.checkpoint (size, signer, time_us, root, signature) VALUES (3, 'signer 3', 9007199254740995, '\x636865636b706f696e742e726f6f7420330001020304050607', '\x636865636b706f696e742e7369676e617475726520330001020304050607');


INSERT INTO public.compartment (patient, data_class, revision, public_key, signer, signature) VALUES ('patient 1', 'image', 1, '\x636f6d706172746d656e742e7075626c69635f6b657920310001020304050607', 'signer 1', '\x636f6d706172746d656e742e7369676e617475726520310001020304050607');
INSERT INTO public.compartment (patient, data_class, revision, public_key, signer, signature) VALUES ('patient 2 ''é
', 'nominative', 2, '\x636f6d706172746d656e742e7075626c69635f6b65792032000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff', 'signer 2 ''é
', '\x636f6d706172746d656e742e7369676e61747572652032000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff');
INSERT INTO public.compartment (patient, data_class, revision, public_key, signer, signature) VALUES ('patient 3', 'image', 3, '\x636f6d706172746d656e742e7075626c69635f6b657920330001020304050607', 'signer 3', '\x636f6d706172746d656e742e7369676e617475726520330001020304050607');


INSERT INTO public.delegation (submission, owner) VALUES (1, 'owner 1');
INSERT INTO public.delegation (submission, owner) VALUES (2, 'owner 2 ''é
');
INSERT INTO public.delegation (submission, owner) VALUES (3, 'owner 3');


INSERT INTO public.delegation_box (submission, number, object_id, box) VALUES (1, 1, 'object id 1', '\x64656c65676174696f6e5f626f782e626f7820310001020304050607');
INSERT INTO public.delegation_box (submission, number, object_id, box) VALUES (2, 2, 'object id 2 ''é
', '\x64656c65676174696f6e5f626f782e626f782032000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff');
INSERT INTO public.delegation_box (submission, number, object_id, box) VALUES (3, 3, 'object id 3', '\x64656c65676174696f6e5f626f782e626f7820330001020304050607');


INSERT INTO public.delegation_key (submission, recipient, sealed) VALUES (1, 'recipient 1', '\x64656c65676174696f6e5f6b65792e7365616c656420310001020304050607');
INSERT INTO public.delegation_key (submission, recipient, sealed) VALUES (2, 'recipient 2 ''é
', '\x64656c65676174696f6e5f6b65792e7365616c65642032000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff');
INSERT INTO public.delegation_key (submission, recipient, sealed) VALUES (3, 'recipient 3', '\x64656c65676174696f6e5f6b65792e7365616c656420330001020304050607');


INSERT INTO public.document (name, blob) VALUES ('name 1', '\x646f63756d656e742e626c6f6220310001020304050607');
INSERT INTO public.document (name, blob) VALUES ('name 2 ''é
', '\x646f63756d656e742e626c6f622032000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff');
INSERT INTO public.document (name, blob) VALUES ('name 3', '\x646f63756d656e742e626c6f6220330001020304050607');


INSERT INTO public.grant_header (object_id, recipient, until_us, granted_by, sealed) VALUES ('object id 1', 'recipient 1', 9007199254740993, 'granted by 1', '\x6772616e745f6865616465722e7365616c656420310001020304050607');
INSERT INTO public.grant_header (object_id, recipient, until_us, granted_by, sealed) VALUES ('object id 2 ''é
', 'recipient 2 ''é
', 9007199254740994, 'granted by 2 ''é
', '\x6772616e745f6865616465722e7365616c65642032000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff');
INSERT INTO public.grant_header (object_id, recipient, until_us, granted_by, sealed) VALUES ('object id 3', 'recipient 3', 9007199254740995, 'granted by 3', '\x6772616e745f6865616465722e7365616c656420330001020304050607');


INSERT INTO public.header (object_id, recipient, revision, sealed) VALUES ('object id 1', 'recipient 1', 1, '\x6865616465722e7365616c656420310001020304050607');
INSERT INTO public.header (object_id, recipient, revision, sealed) VALUES ('object id 2 ''é
', 'recipient 2 ''é
', 2, '\x6865616465722e7365616c65642032000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff');
INSERT INTO public.header (object_id, recipient, revision, sealed) VALUES ('object id 3', 'recipient 3', NULL, '\x6865616465722e7365616c656420330001020304050607');


INSERT INTO public.member_role (role_name, identity, roles) VALUES ('role name 1', 'identity 1', 'roles 1');
INSERT INTO public.member_role (role_name, identity, roles) VALUES ('role name 2 ''é
', 'identity 2 ''é
', 'roles 2 ''é
');
INSERT INTO public.member_role (role_name, identity, roles) VALUES ('role name 3', 'identity 3', 'roles 3');


INSERT INTO public.pending (write_id, identity, made_us, change) VALUES ('write id 1', 'identity 1', 9007199254740993, '\x70656e64696e672e6368616e676520310001020304050607');
INSERT INTO public.pending (write_id, identity, made_us, change) VALUES ('write id 2 ''é
', 'identity 2 ''é
', 9007199254740994, '\x70656e64696e672e6368616e67652032000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff');
INSERT INTO public.pending (write_id, identity, made_us, change) VALUES ('write id 3', 'identity 3', 9007199254740995, '\x70656e64696e672e6368616e676520330001020304050607');


INSERT INTO public.protected (object_id, patient, data_class, owner, manifest) VALUES ('object id 1', 'patient 1', 'image', 'owner 1', '\x70726f7465637465642e6d616e696665737420310001020304050607');
INSERT INTO public.protected (object_id, patient, data_class, owner, manifest) VALUES ('object id 2 ''é
', 'patient 2 ''é
', 'nominative', 'owner 2 ''é
', '\x70726f7465637465642e6d616e69666573742032000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff');
INSERT INTO public.protected (object_id, patient, data_class, owner, manifest) VALUES ('object id 3', NULL, 'image', 'owner 3', '\x70726f7465637465642e6d616e696665737420330001020304050607');


INSERT INTO public.seal (patient, revision, sealed) VALUES ('patient 1', 1, '\x7365616c2e7365616c656420310001020304050607');
INSERT INTO public.seal (patient, revision, sealed) VALUES ('patient 2 ''é
', 2, '\x7365616c2e7365616c65642032000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff');
INSERT INTO public.seal (patient, revision, sealed) VALUES ('patient 3', 3, '\x7365616c2e7365616c656420330001020304050607');


INSERT INTO public.share (batch, generation, share) VALUES ('\x73686172652e626174636820310001020304050607', 1, '\x73686172652e736861726520310001020304050607');
INSERT INTO public.share (batch, generation, share) VALUES ('\x73686172652e62617463682032000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff', 2, '\x73686172652e73686172652032000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff');
INSERT INTO public.share (batch, generation, share) VALUES ('\x73686172652e626174636820330001020304050607', 3, '\x73686172652e736861726520330001020304050607');


INSERT INTO public.store (store_id, version, created_us, split_id, place, places, threshold) VALUES ('store id 1', 1, 9007199254740993, NULL, 1, 1, 1);


INSERT INTO public.ticket (first_seq, last_seq, identity, kind, digest, written_by, made_at) VALUES (0, 1, 'me', 'headers', '\x01', '700', '1970-01-01 00:00:00+00');


INSERT INTO public.wrap (patient, data_class, revision, recipient, sealed) VALUES ('patient 1', 'data class 1', 1, 'recipient 1', '\x777261702e7365616c656420310001020304050607');
INSERT INTO public.wrap (patient, data_class, revision, recipient, sealed) VALUES ('patient 2 ''é
', 'data class 2 ''é
', 2, 'recipient 2 ''é
', '\x777261702e7365616c65642032000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff');
INSERT INTO public.wrap (patient, data_class, revision, recipient, sealed) VALUES ('patient 3', 'data class 3', 3, 'recipient 3', '\x777261702e7365616c656420330001020304050607');


SELECT pg_catalog.setval('public.delegation_submission_seq', 3, true);


ALTER TABLE ONLY public.applied
    ADD CONSTRAINT applied_pkey PRIMARY KEY (write_id);


ALTER TABLE ONLY public.audit
    ADD CONSTRAINT audit_pkey PRIMARY KEY (seq);


ALTER TABLE ONLY public.certificate
    ADD CONSTRAINT certificate_pkey PRIMARY KEY (name);


ALTER TABLE ONLY public.checkpoint
    ADD CONSTRAINT checkpoint_pkey PRIMARY KEY (size, signer);


ALTER TABLE ONLY public.compartment
    ADD CONSTRAINT compartment_pkey PRIMARY KEY (patient, data_class, revision);


ALTER TABLE ONLY public.delegation_box
    ADD CONSTRAINT delegation_box_pkey PRIMARY KEY (submission, number, object_id);


ALTER TABLE ONLY public.delegation_key
    ADD CONSTRAINT delegation_key_pkey PRIMARY KEY (submission, recipient);


ALTER TABLE ONLY public.delegation
    ADD CONSTRAINT delegation_pkey PRIMARY KEY (submission);


ALTER TABLE ONLY public.document
    ADD CONSTRAINT document_pkey PRIMARY KEY (name);


ALTER TABLE ONLY public.grant_header
    ADD CONSTRAINT grant_header_pkey PRIMARY KEY (object_id, recipient);


ALTER TABLE ONLY public.header
    ADD CONSTRAINT header_pkey PRIMARY KEY (object_id, recipient);


ALTER TABLE ONLY public.member_role
    ADD CONSTRAINT member_role_identity_key UNIQUE (identity);


ALTER TABLE ONLY public.member_role
    ADD CONSTRAINT member_role_pkey PRIMARY KEY (role_name);


ALTER TABLE ONLY public.pending
    ADD CONSTRAINT pending_pkey PRIMARY KEY (write_id);


ALTER TABLE ONLY public.protected
    ADD CONSTRAINT protected_pkey PRIMARY KEY (object_id);


ALTER TABLE ONLY public.seal
    ADD CONSTRAINT seal_pkey PRIMARY KEY (patient);


ALTER TABLE ONLY public.share
    ADD CONSTRAINT share_pkey PRIMARY KEY (batch, generation);


ALTER TABLE ONLY public.store
    ADD CONSTRAINT store_pkey PRIMARY KEY (store_id);


ALTER TABLE ONLY public.ticket
    ADD CONSTRAINT ticket_pkey PRIMARY KEY (first_seq);


ALTER TABLE ONLY public.wrap
    ADD CONSTRAINT wrap_pkey PRIMARY KEY (patient, data_class, revision, recipient);


CREATE INDEX ix_audit_patient ON public.audit USING btree (patient);


CREATE INDEX ix_audit_thing ON public.audit USING btree (thing);


CREATE INDEX ix_grant_header_recipient ON public.grant_header USING btree (recipient);


CREATE INDEX ix_header_recipient ON public.header USING btree (recipient);


CREATE INDEX ix_protected_patient ON public.protected USING btree (patient);


CREATE INDEX ix_wrap_recipient ON public.wrap USING btree (recipient, patient);


ALTER TABLE public.applied ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.audit ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.certificate ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.checkpoint ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.compartment ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.delegation ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.delegation_box ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.delegation_key ENABLE ROW LEVEL SECURITY;

CREATE POLICY destroy ON public.applied FOR DELETE USING (((identity)::text = public.keystore_me()));


CREATE POLICY destroy ON public.certificate FOR DELETE USING (public.keystore_is('registrar'::text));


CREATE POLICY destroy ON public.compartment FOR DELETE USING (public.keystore_heads((patient)::text, NULL::text));


CREATE POLICY destroy ON public.delegation FOR DELETE USING ((((owner)::text = public.keystore_me()) OR public.keystore_is('broker'::text)));


CREATE POLICY destroy ON public.delegation_box FOR DELETE USING ((public.keystore_is('broker'::text) OR public.keystore_lent(submission)));


CREATE POLICY destroy ON public.delegation_key FOR DELETE USING ((public.keystore_is('broker'::text) OR public.keystore_lent(submission)));


CREATE POLICY destroy ON public.document FOR DELETE USING (public.keystore_is('registrar'::text));


CREATE POLICY destroy ON public.grant_header FOR DELETE USING ((((granted_by)::text = public.keystore_me()) OR public.keystore_may_manage((object_id)::text)));


CREATE POLICY destroy ON public.header FOR DELETE USING (public.keystore_may_manage((object_id)::text));


CREATE POLICY destroy ON public.pending FOR DELETE USING (((identity)::text = public.keystore_me()));


CREATE POLICY destroy ON public.protected FOR DELETE USING (public.keystore_may_manage((object_id)::text));


CREATE POLICY destroy ON public.seal FOR DELETE USING (public.keystore_heads((patient)::text, 'nominative'::text));


CREATE POLICY destroy ON public.wrap FOR DELETE USING ((public.keystore_headed((patient)::text, (data_class)::text) OR (((recipient)::text = public.keystore_me()) AND public.keystore_made((patient)::text, (data_class)::text, revision))));


ALTER TABLE public.document ENABLE ROW LEVEL SECURITY;

CREATE POLICY enter ON public.applied FOR INSERT WITH CHECK (((identity)::text = public.keystore_me()));


CREATE POLICY enter ON public.certificate FOR INSERT WITH CHECK (public.keystore_is('registrar'::text));


CREATE POLICY enter ON public.checkpoint FOR INSERT WITH CHECK (((signer)::text = public.keystore_me()));


CREATE POLICY enter ON public.compartment FOR INSERT WITH CHECK ((((signer)::text = public.keystore_me()) AND (public.keystore_is('physician'::text) OR public.keystore_is('registrar'::text)) AND ((revision = 1) OR public.keystore_heads((patient)::text, (data_class)::text, (revision - 1)))));


CREATE POLICY enter ON public.delegation FOR INSERT WITH CHECK (((owner)::text = public.keystore_me()));


CREATE POLICY enter ON public.delegation_box FOR INSERT WITH CHECK (public.keystore_lent(submission));


CREATE POLICY enter ON public.delegation_key FOR INSERT WITH CHECK (public.keystore_lent(submission));


CREATE POLICY enter ON public.document FOR INSERT WITH CHECK (public.keystore_is('registrar'::text));


CREATE POLICY enter ON public.grant_header FOR INSERT WITH CHECK ((((granted_by)::text = public.keystore_me()) AND public.keystore_may_grant((object_id)::text)));


CREATE POLICY enter ON public.header FOR INSERT WITH CHECK ((public.keystore_is('broker'::text) OR public.keystore_may_manage((object_id)::text)));


CREATE POLICY enter ON public.pending FOR INSERT WITH CHECK (((identity)::text = public.keystore_me()));


CREATE POLICY enter ON public.protected FOR INSERT WITH CHECK ((public.keystore_is('broker'::text) OR public.keystore_is('registrar'::text) OR (((owner)::text = public.keystore_me()) AND ((patient IS NULL) OR public.keystore_heads((patient)::text, (data_class)::text)))));


CREATE POLICY enter ON public.seal FOR INSERT WITH CHECK ((public.keystore_is('registrar'::text) OR public.keystore_heads((patient)::text, 'nominative'::text, revision)));


CREATE POLICY enter ON public.share FOR INSERT WITH CHECK ((public.keystore_me() IS NOT NULL));


CREATE POLICY enter ON public.wrap FOR INSERT WITH CHECK ((public.keystore_heads((patient)::text, (data_class)::text, revision) OR (public.keystore_made((patient)::text, (data_class)::text, revision) AND (public.keystore_holds((patient)::text, (data_class)::text, revision) OR (((recipient)::text = public.keystore_me()) AND public.keystore_is_new((patient)::text, (data_class)::text, revision))))));


ALTER TABLE public.grant_header ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.header ENABLE ROW LEVEL SECURITY;

CREATE POLICY look ON public.applied FOR SELECT USING (true);


CREATE POLICY look ON public.certificate FOR SELECT USING (true);


CREATE POLICY look ON public.checkpoint FOR SELECT USING (true);


CREATE POLICY look ON public.compartment FOR SELECT USING ((((signer)::text = public.keystore_me()) OR public.keystore_is('broker'::text) OR public.keystore_is('registrar'::text) OR public.keystore_held((patient)::text, NULL::text)));


CREATE POLICY look ON public.delegation FOR SELECT USING ((((owner)::text = public.keystore_me()) OR public.keystore_is('broker'::text)));


CREATE POLICY look ON public.delegation_box FOR SELECT USING ((public.keystore_is('broker'::text) OR public.keystore_lent(submission)));


CREATE POLICY look ON public.delegation_key FOR SELECT USING ((public.keystore_is('broker'::text) OR public.keystore_lent(submission)));


CREATE POLICY look ON public.document FOR SELECT USING (true);


CREATE POLICY look ON public.grant_header FOR SELECT USING ((((recipient)::text = public.keystore_me()) OR ((granted_by)::text = public.keystore_me()) OR public.keystore_may_manage((object_id)::text)));


CREATE POLICY look ON public.header FOR SELECT USING (public.keystore_may_read((object_id)::text));


CREATE POLICY look ON public.pending FOR SELECT USING (true);


CREATE POLICY look ON public.protected FOR SELECT USING ((((owner)::text = public.keystore_me()) OR public.keystore_may_read((object_id)::text)));


CREATE POLICY look ON public.seal FOR SELECT USING (public.keystore_holds((patient)::text, 'nominative'::text));


CREATE POLICY look ON public.store FOR SELECT USING (true);


CREATE POLICY look ON public.wrap FOR SELECT USING ((((recipient)::text = public.keystore_me()) OR public.keystore_held((patient)::text, (data_class)::text)));


ALTER TABLE public.member_role ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.pending ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.protected ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.seal ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.share ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.store ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.ticket ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.wrap ENABLE ROW LEVEL SECURITY;

REVOKE ALL ON FUNCTION public.keystore_append(verbs text[], things text[], patients text[], details text[]) FROM PUBLIC;


REVOKE ALL ON FUNCTION public.keystore_ask(kind text, things text[], purpose text) FROM PUBLIC;


REVOKE ALL ON FUNCTION public.keystore_boxes(things text[]) FROM PUBLIC;


REVOKE ALL ON FUNCTION public.keystore_check(first bigint, wanted text, things text[]) FROM PUBLIC;


REVOKE ALL ON FUNCTION public.keystore_digest(things text[]) FROM PUBLIC;


REVOKE ALL ON FUNCTION public.keystore_field(value text) FROM PUBLIC;


REVOKE ALL ON FUNCTION public.keystore_headed(p text, c text) FROM PUBLIC;


REVOKE ALL ON FUNCTION public.keystore_heads(p text, c text, r integer) FROM PUBLIC;


REVOKE ALL ON FUNCTION public.keystore_held(p text, c text) FROM PUBLIC;


REVOKE ALL ON FUNCTION public.keystore_holds(p text, c text, r integer) FROM PUBLIC;


REVOKE ALL ON FUNCTION public.keystore_is(wanted text) FROM PUBLIC;


REVOKE ALL ON FUNCTION public.keystore_is_new(p text, c text, r integer) FROM PUBLIC;


REVOKE ALL ON FUNCTION public.keystore_is_owner() FROM PUBLIC;


REVOKE ALL ON FUNCTION public.keystore_leaves(start bigint, count integer) FROM PUBLIC;


REVOKE ALL ON FUNCTION public.keystore_lent(s integer) FROM PUBLIC;


REVOKE ALL ON FUNCTION public.keystore_made(p text, c text, r integer) FROM PUBLIC;


REVOKE ALL ON FUNCTION public.keystore_may_grant(o text) FROM PUBLIC;


REVOKE ALL ON FUNCTION public.keystore_may_manage(o text) FROM PUBLIC;


REVOKE ALL ON FUNCTION public.keystore_may_read(o text) FROM PUBLIC;


REVOKE ALL ON FUNCTION public.keystore_me() FROM PUBLIC;


REVOKE ALL ON FUNCTION public.keystore_now() FROM PUBLIC;


REVOKE ALL ON FUNCTION public.keystore_openable(ids text[]) FROM PUBLIC;


REVOKE ALL ON FUNCTION public.keystore_pending(wanted text) FROM PUBLIC;


REVOKE ALL ON FUNCTION public.keystore_records(start bigint, count integer) FROM PUBLIC;


REVOKE ALL ON FUNCTION public.keystore_seal_digests() FROM PUBLIC;


REVOKE ALL ON FUNCTION public.keystore_shares(batches bytea[]) FROM PUBLIC;


REVOKE ALL ON FUNCTION public.keystore_take_boxes(first bigint, things text[]) FROM PUBLIC;


REVOKE ALL ON FUNCTION public.keystore_take_headers(first bigint, things text[]) FROM PUBLIC;


REVOKE ALL ON FUNCTION public.keystore_take_key(first bigint, things text[]) FROM PUBLIC;


REVOKE ALL ON FUNCTION public.keystore_take_recovery_headers(first bigint) FROM PUBLIC;


REVOKE ALL ON FUNCTION public.keystore_take_recovery_wraps(first bigint) FROM PUBLIC;


REVOKE ALL ON FUNCTION public.keystore_take_seals(first bigint, things text[]) FROM PUBLIC;


REVOKE ALL ON FUNCTION public.keystore_take_wraps(first bigint, things text[]) FROM PUBLIC;



