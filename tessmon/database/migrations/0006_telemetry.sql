-- SPDX-License-Identifier: MIT
-- Telemetry events of devices, the files that they come from, and what was observed when.

-- Wide columns first: bigint behind text would be padded. Collation "C" because these are names for programs, which
-- every other collation compares many times slower in the index; it gives way in joins with any other column.
CREATE TABLE telem (
    ts timestamptz NOT NULL,                      -- to the microsecond
    file_id bigint NOT NULL,                      -- file_origins, which "tessmon db check" verifies
    file_offset bigint NOT NULL,                  -- of the record in that file; in a .gz, of the text it unpacks to
    digest bigint NOT NULL,                       -- of the record's bytes: tells two of one instant apart
    ns smallint NOT NULL CHECK (ns BETWEEN 0 AND 999),
    device text COLLATE "C" NOT NULL,
    ec text COLLATE "C" NOT NULL,
    prio text COLLATE "C" NOT NULL,
    msg jsonb NOT NULL,                           -- NaN, Infinity, -Infinity and -0.0 are these strings
    PRIMARY KEY (device, ts, ns, ec, digest)
) PARTITION BY RANGE (ts);

-- A row per identity: host, file system, inode and the beginning of the content. A file that is renamed keeps its row,
-- a file that takes the place of another gets one of its own.
CREATE TABLE file_origins (
    file_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    origin_host text NOT NULL,
    origin_path text NOT NULL,
    modification_time timestamptz NOT NULL,
    creation_time timestamptz NOT NULL,
    size_bytes bigint NOT NULL,
    device text NOT NULL,
    kind text NOT NULL,
    fsid bigint NOT NULL,                         -- unsigned numbers of 64 bits, written as signed ones
    inode bigint NOT NULL,
    head_bytes smallint NOT NULL CHECK (head_bytes BETWEEN 0 AND 64),
    head_digest bytea,                            -- SHA-256 of so many bytes; NULL: this content is gone
    state text NOT NULL DEFAULT 'present' CHECK (state IN ('present', 'vanished', 'replaced', 'unreadable')),
    seen_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX file_origins_path_key ON file_origins (origin_host, origin_path)
    WHERE state IN ('present', 'unreadable');
CREATE INDEX file_origins_identity_idx ON file_origins (origin_host, inode, fsid);

CREATE TABLE file_ingest_times (
    ts timestamptz NOT NULL,                      -- the start stamp in the file's name
    device text NOT NULL,
    ingested_at timestamptz NOT NULL,
    origin_host text NOT NULL,
    origin_path text NOT NULL,
    file_id bigint PRIMARY KEY REFERENCES file_origins
);
CREATE INDEX file_ingest_times_device_idx ON file_ingest_times (device, ts);

CREATE TABLE file_replicas (
    hostname text NOT NULL,
    replica_path text NOT NULL,
    origin_modification_time timestamptz NOT NULL,
    size_bytes bigint NOT NULL,
    origin_host text NOT NULL,
    origin_path text NOT NULL,
    file_id bigint NOT NULL REFERENCES file_origins,
    PRIMARY KEY (hostname, replica_path)
);
CREATE INDEX file_replicas_file_idx ON file_replicas (file_id);

-- A span is begun by a record that is on when the one before is off, has another name or e-mail, or does not exist;
-- it ends with its last record, not with the next one: after a crash that may come a day later. A span that nothing
-- has ended yet has no end.
CREATE VIEW observations AS
WITH said AS (
    SELECT ts, ns, file_offset, file_id, digest, coalesce(msg @> '{"observing": true}', false) AS is_on,
           coalesce(msg ->> 'email', '') AS email, coalesce(msg ->> 'obsName', '') AS obsname
    FROM telem
    WHERE device = 'observers' AND ec = 'telem_observer'
), compared AS (
    SELECT ts, ns, file_offset, file_id, digest, is_on, email, obsname, lead(is_on) OVER in_order IS NULL AS is_last,
           lag(is_on) OVER in_order IS NOT TRUE OR lag(email) OVER in_order <> email
               OR lag(obsname) OVER in_order <> obsname AS begins
    FROM said
    WINDOW in_order AS (ORDER BY ts, ns, file_offset, file_id, digest)
), numbered AS (
    SELECT ts, is_last, email, obsname,
           count(*) FILTER (WHERE begins) OVER (ORDER BY ts, ns, file_offset, file_id, digest) AS span
    FROM compared
    WHERE is_on
)
SELECT min(ts) AS start_ts, CASE WHEN bool_or(is_last) THEN NULL ELSE max(ts) END AS end_ts, email, obsname
FROM numbered
GROUP BY span, email, obsname
ORDER BY span;

-- Which file is which, decided for one host by one caller after the other. Sightings are taken in order.
--
-- A row is of the file when file system and inode are equal and its head is the beginning of the file's head; of
-- several, one that is there now, then the longest head, then the newest. After a restart of the host the number of
-- the file system may be another: then the path must be equal. A shorter file under an equal path may be one that was
-- cut off, or a sighting from before another caller's: nothing is changed, and "shrunk" tells the caller to look again.
-- A file of two paths (hard links) keeps the one it has. Rows are written only where something changes.
CREATE FUNCTION tessmon_open_files(
    of_host text, paths text[], devices text[], kinds text[], fsids bigint[], inodes bigint[], heads bytea[],
    sizes bigint[], modified_us bigint[], created_us bigint[]
) RETURNS TABLE (opened_id bigint, opened_position bigint[], opened_low bigint[], fate text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    seen record;
    known public.file_origins;
    whole boolean;
    new_path text;
    new_state text;
    new_bytes smallint;
    new_digest bytea;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('tessmon_files/' || of_host, 0));
    FOR seen IN
        SELECT u.path, u.device, u.kind, u.fsid, u.inode, u.head, u.size_bytes,
               to_timestamp(u.modified / 1e6) AS modified, to_timestamp(u.created / 1e6) AS created
        FROM unnest(paths, devices, kinds, fsids, inodes, heads, sizes, modified_us, created_us) WITH ORDINALITY
             AS u (path, device, kind, fsid, inode, head, size_bytes, modified, created, ordinal)
        ORDER BY u.ordinal
    LOOP
        SELECT f.* INTO known
        FROM public.file_origins AS f,
             LATERAL (SELECT f.head_digest = sha256(substr(seen.head, 1, f.head_bytes))
                             AND f.head_bytes <= length(seen.head) AS begins_so,
                             f.state IN ('present', 'unreadable') AS is_there,
                             f.origin_path = seen.path AS is_here) AS c
        WHERE f.origin_host = of_host AND f.inode = seen.inode AND (f.fsid = seen.fsid OR c.is_here)
          AND (c.begins_so OR c.is_there AND c.is_here AND f.fsid = seen.fsid
                              AND (seen.head IS NULL OR length(seen.head) < f.head_bytes))
        ORDER BY f.fsid = seen.fsid DESC, c.is_there DESC, c.begins_so IS TRUE DESC, f.head_bytes DESC, f.file_id DESC
        LIMIT 1;

        IF known.file_id IS NULL THEN
            UPDATE public.file_origins AS f SET state = 'replaced', seen_at = now()
            WHERE f.origin_host = of_host AND f.origin_path = seen.path AND f.state IN ('present', 'unreadable');
            fate := CASE WHEN FOUND THEN 'replacing' ELSE 'new' END;
            INSERT INTO public.file_origins AS f (origin_host, origin_path, modification_time, creation_time, size_bytes,
                                                  device, kind, fsid, inode, head_bytes, head_digest, state)
            VALUES (of_host, seen.path, seen.modified, seen.created, seen.size_bytes, seen.device, seen.kind, seen.fsid,
                    seen.inode, coalesce(length(seen.head), 0), sha256(coalesce(seen.head, '')),
                    CASE WHEN seen.head IS NULL THEN 'unreadable' ELSE 'present' END)
            RETURNING f.* INTO known;
        ELSIF length(seen.head) < known.head_bytes THEN
            fate := 'shrunk';
        ELSE
            new_state := CASE WHEN seen.head IS NULL THEN 'unreadable' ELSE 'present' END;
            new_path := CASE
                WHEN known.origin_path = seen.path THEN seen.path
                WHEN known.state IN ('present', 'unreadable') AND EXISTS (
                    SELECT FROM unnest(paths, fsids, inodes) AS u (path, fsid, inode)
                    WHERE u.path = known.origin_path AND u.fsid = seen.fsid AND u.inode = seen.inode
                ) THEN known.origin_path
                ELSE seen.path END;
            fate := CASE WHEN new_path <> known.origin_path THEN 'renamed'
                         WHEN seen.size_bytes > known.size_bytes THEN 'grown' ELSE 'known' END;
            new_bytes := coalesce(length(seen.head), known.head_bytes);
            new_digest := CASE WHEN seen.head IS NULL THEN known.head_digest ELSE sha256(seen.head) END;
            IF (known.origin_path, known.state, known.fsid, known.size_bytes, known.modification_time,
                known.creation_time, known.device, known.kind, known.head_bytes)
               IS DISTINCT FROM (new_path, new_state, seen.fsid, seen.size_bytes, seen.modified,
                                 seen.created, seen.device, seen.kind, new_bytes)
            THEN
                UPDATE public.file_origins AS f SET state = 'replaced', seen_at = now()
                WHERE f.origin_host = of_host AND f.origin_path = new_path AND f.state IN ('present', 'unreadable')
                  AND f.file_id <> known.file_id;
                UPDATE public.file_origins AS f
                SET origin_path = new_path, state = new_state, fsid = seen.fsid, size_bytes = seen.size_bytes,
                    modification_time = seen.modified, creation_time = seen.created, device = seen.device,
                    kind = seen.kind, head_bytes = new_bytes, head_digest = new_digest, seen_at = now()
                WHERE f.file_id = known.file_id;
            END IF;
        END IF;

        opened_id := known.file_id;
        SELECT p.position, p.low INTO opened_position, opened_low FROM public.positions AS p
        WHERE p.lane = 'telemetry' AND p.origin = of_host || '/' || known.file_id;
        IF NOT FOUND AND seen.kind <> '' THEN
            INSERT INTO public.positions (lane, origin, position, low)
            VALUES ('telemetry', of_host || '/' || known.file_id, '{0}', '{0}')
            ON CONFLICT (lane, origin) DO UPDATE SET lane = excluded.lane
            RETURNING position, low INTO opened_position, opened_low;
        END IF;
        RETURN NEXT;
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION tessmon_open_files(text, text[], text[], text[], bigint[], bigint[], bytea[], bigint[], bigint[],
                                          bigint[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tessmon_open_files(text, text[], text[], text[], bigint[], bigint[], bytea[], bigint[],
                                             bigint[], bigint[]) TO tessmon_writer;

-- As before, for one more table, and the next month ahead for all of them: an instrument that is quiet, or not there,
-- does not make "tessmon db check" complain.
CREATE OR REPLACE FUNCTION tessmon_ensure_partitions(parent text, months date[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET lock_timeout = '3s'
AS $$
DECLARE
    parents constant text[] := ARRAY['tess_readings_t', 'tess_readings4c_t', 'telem'];
    this_month constant date := date_trunc('month', now());
    next_month constant date := date_trunc('month', now()) + interval '1 month';
    latest constant date := now() + interval '2 months';
    each text;
    parent_id regclass;
    first_day date;
    following date;
    partition_name text;
BEGIN
    IF parent IS NULL OR parent <> ALL (parents) THEN
        RAISE EXCEPTION 'table % has no partitions by month', coalesce(quote_ident(parent), 'NULL')
            USING ERRCODE = 'TM003';
    END IF;
    IF months IS NULL OR cardinality(months) > 1000 THEN
        RAISE EXCEPTION 'a list of at most 1000 months is wanted' USING ERRCODE = 'TM003';
    END IF;
    PERFORM FROM unnest(months) AS m WHERE m IS NULL OR m < '2000-01-01' OR m > latest;
    IF FOUND THEN
        RAISE EXCEPTION 'partitions are made for months from 2000-01 to %, look at the clocks',
            to_char(latest, 'YYYY-MM') USING ERRCODE = 'TM003';
    END IF;

    PERFORM pg_advisory_xact_lock(hashtextextended('tessmon_ensure_partitions', 0));
    FOR each, first_day IN
        SELECT parent, date_trunc('month', m::timestamp)::date FROM unnest(months) AS m
        UNION
        SELECT p, m FROM unnest(parents) AS p, unnest(ARRAY[this_month, next_month]) AS m
        WHERE p = parent AND m = next_month OR p <> parent
        ORDER BY 1, 2
    LOOP
        parent_id := format('public.%I', each)::regclass;
        partition_name := format('%s_%s', each, to_char(first_day, 'YYYY_MM'));
        following := first_day + interval '1 month';
        PERFORM FROM pg_inherits
            WHERE inhparent = parent_id AND inhrelid = to_regclass(format('public.%I', partition_name));
        CONTINUE WHEN FOUND;
        EXECUTE format('CREATE TABLE public.%I (LIKE public.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)',
                       partition_name, each);
        EXECUTE format('ALTER TABLE public.%I ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
                       each, partition_name, first_day::timestamptz, following::timestamptz);
        PERFORM public.tessmon_add_dates(first_day, following - 1);
    END LOOP;
END
$$;

GRANT SELECT ON telem, file_origins, file_ingest_times, file_replicas, observations TO tessmon_writer, tessmon_reader;
GRANT INSERT ON telem TO tessmon_writer;
GRANT INSERT, UPDATE ON file_origins, file_ingest_times TO tessmon_writer;
