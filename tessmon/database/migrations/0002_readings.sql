-- SPDX-License-Identifier: MIT
-- The fact tables, partitioned by month (UTC), and the function that makes their partitions: the service itself
-- has no right to make tables.
--
-- The primary key is the only index. A second one like model 04's (tess_id, date_id, time_id, location_id) took a
-- quarter of the insert rate (126 instead of 170 thousand rows/s) and of the space, for a report of a month in 0.2
-- instead of 0.3 ms; BRIN on date_id cost nothing and gave nothing.

CREATE TABLE tess_readings_t (
    date_id integer NOT NULL,
    time_id integer NOT NULL,
    tess_id integer NOT NULL,
    location_id integer NOT NULL DEFAULT -1,
    observer_id integer NOT NULL DEFAULT -1,
    units_id integer NOT NULL,
    sequence_number bigint NOT NULL,
    frequency double precision NOT NULL,          -- Hz
    magnitude double precision NOT NULL,          -- mag/arcsec²
    box_temperature double precision NOT NULL,    -- degrees Celsius
    sky_temperature double precision NOT NULL,
    azimuth double precision,                     -- degrees
    altitude double precision,
    longitude double precision,
    latitude double precision,
    elevation double precision,                   -- metres
    signal_strength integer NOT NULL,             -- dBm
    hash text,
    tstamp timestamptz NOT NULL,                  -- the second that date_id and time_id name
    received_at timestamptz NOT NULL,             -- when the message came
    PRIMARY KEY (tess_id, tstamp)
) PARTITION BY RANGE (tstamp);

CREATE TABLE tess_readings4c_t (
    date_id integer NOT NULL,
    time_id integer NOT NULL,
    tess_id integer NOT NULL,
    location_id integer NOT NULL DEFAULT -1,
    observer_id integer NOT NULL DEFAULT -1,
    units_id integer NOT NULL,
    sequence_number bigint NOT NULL,
    freq1 double precision NOT NULL,
    mag1 double precision NOT NULL,
    freq2 double precision NOT NULL,
    mag2 double precision NOT NULL,
    freq3 double precision NOT NULL,
    mag3 double precision NOT NULL,
    freq4 double precision NOT NULL,
    mag4 double precision NOT NULL,
    box_temperature double precision NOT NULL,
    sky_temperature double precision NOT NULL,
    azimuth double precision,
    altitude double precision,
    longitude double precision,
    latitude double precision,
    elevation double precision,
    signal_strength integer NOT NULL,
    hash text,
    tstamp timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (tess_id, tstamp)
) PARTITION BY RANGE (tstamp);

-- Make the partitions of these months, and the next month's from now, with the days of these months in date_t.
--
-- It runs with the owner's rights for callers without them, so everything is named with its schema, the parents
-- are a closed list, and the months are bounded. CREATE and ATTACH lock the parent so weakly that inserts go on
-- (PARTITION OF would not); a new table is empty, so ATTACH has nothing to scan. Callers in one transaction with
-- their rows would keep the locks until its end: call it in a transaction of its own.
CREATE FUNCTION tessmon_ensure_partitions(parent text, months date[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET lock_timeout = '3s'
AS $$
DECLARE
    next_month constant date := date_trunc('month', now()) + interval '1 month';
    latest constant date := now() + interval '2 months';
    parent_id regclass;
    first_day date;
    following date;
    partition_name text;
BEGIN
    IF parent IS NULL OR parent NOT IN ('tess_readings_t', 'tess_readings4c_t') THEN
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

    parent_id := format('public.%I', parent)::regclass;
    PERFORM pg_advisory_xact_lock(hashtextextended('tessmon_ensure_partitions', 0));
    FOR first_day IN
        SELECT DISTINCT date_trunc('month', m::timestamp)::date FROM unnest(months || next_month) AS m ORDER BY 1
    LOOP
        partition_name := format('%s_%s', parent, to_char(first_day, 'YYYY_MM'));
        following := first_day + interval '1 month';
        PERFORM FROM pg_inherits
            WHERE inhparent = parent_id AND inhrelid = to_regclass(format('public.%I', partition_name));
        CONTINUE WHEN FOUND;
        EXECUTE format('CREATE TABLE public.%I (LIKE public.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)',
                       partition_name, parent);
        EXECUTE format('ALTER TABLE public.%I ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
                       parent, partition_name, first_day::timestamptz, following::timestamptz);
        PERFORM public.tessmon_add_dates(first_day, following - 1);
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION tessmon_ensure_partitions(text, date[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tessmon_ensure_partitions(text, date[]) TO tessmon_writer;

GRANT SELECT ON tess_readings_t, tess_readings4c_t TO tessmon_writer, tessmon_reader;
GRANT INSERT ON tess_readings_t, tess_readings4c_t TO tessmon_writer;
