-- SPDX-License-Identifier: MIT
-- What vlbimon stations say: parameters, their points, a view for each parameter, events, and how each station stands.
--
-- Names come from the wire, so none becomes part of a statement but as an identifier that format() has quoted, and only
-- names that are one without quotes do.

CREATE TABLE vlbimon_parameters (
    parameter_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    parameter text COLLATE "C" NOT NULL UNIQUE CHECK (char_length(parameter) BETWEEN 1 AND 250), -- sent: 200 at most
    datatype text,                                -- as in the masterlist; NULL: it is not there
    partype text NOT NULL DEFAULT '',
    units text NOT NULL DEFAULT '',
    description text NOT NULL DEFAULT '',
    cadence_public_s double precision,
    cadence_private_s double precision,
    event_phrase text,                            -- what an event says between station and value; NULL: makes none
    view_name text COLLATE "C" UNIQUE,            -- NULL: it has none
    view_type text,                               -- of the view's column "value"
    first_seen timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE vlbimon_stations (
    station text COLLATE "C" PRIMARY KEY CHECK (char_length(station) BETWEEN 1 AND 200),
    listed boolean NOT NULL DEFAULT false,        -- in a masterlist
    first_seen timestamptz NOT NULL DEFAULT now()
);

-- Wide columns first: bigint behind text would be padded. The value stands in one of three columns, which one says kind;
-- NaN and infinities are numbers. The time is whole seconds, because users ask so and stations send nothing finer on
-- purpose; the stamp is exact. Parameters are numbers here, as their names are long: "tessmon db check" verifies them.
CREATE TABLE vlbimon_points (
    time bigint NOT NULL,                         -- by the station's clock, seconds since 1970 UTC
    stamp double precision NOT NULL,              -- the same as sent
    received_at timestamptz NOT NULL,
    whole bigint,                                 -- kind i; kind b: 0 or 1
    number double precision,                      -- kind f
    parameter_id integer NOT NULL,
    replaced smallint NOT NULL DEFAULT 0,         -- how many other values of this second it took the place of
    kind "char" NOT NULL CHECK (kind IN ('b', 'i', 'f', 't')),
    station text COLLATE "C" NOT NULL,
    word text,                                    -- kind t
    PRIMARY KEY (parameter_id, station, time)
) PARTITION BY RANGE (time);

CREATE TABLE vlbimon_clients (
    station text COLLATE "C" NOT NULL,
    client text COLLATE "C" NOT NULL,
    version text,
    last_contact timestamptz NOT NULL,
    PRIMARY KEY (station, client)
);

-- The newest point behind each column of bridge_stationstatus: a late one changes nothing, whatever the order in which
-- points come.
CREATE TABLE vlbimon_status (
    station text COLLATE "C" NOT NULL,
    item text COLLATE "C" NOT NULL,
    time bigint NOT NULL,
    received_at timestamptz NOT NULL,
    word text,                                    -- NULL: what came can't be understood
    PRIMARY KEY (station, item)
) WITH (fillfactor = 50);                         -- room for the next version in the same page

CREATE TABLE bridge_stationstatus (
    time bigint,
    station text COLLATE "C" PRIMARY KEY,
    source text,
    onsource text,
    mode text,
    recording text,
    tsys double precision,
    tau225 double precision,
    scan text                                     -- others write it, and nothing here does
) WITH (fillfactor = 50);

-- Other programs write these.
CREATE TABLE ts_param_schedule (time bigint NOT NULL, stations text, scan text);
CREATE TABLE ts_param_bridge_forecasttau225 (time bigint NOT NULL, station text NOT NULL, value double precision);
CREATE TABLE ts_param_bridge_avgwindspeed (time bigint NOT NULL, station text NOT NULL, value double precision);
CREATE TABLE ts_param_bridge_windgust (time bigint NOT NULL, station text NOT NULL, value double precision);
CREATE INDEX ts_param_schedule_time_idx ON ts_param_schedule (time);
CREATE INDEX ts_param_bridge_forecasttau225_idx ON ts_param_bridge_forecasttau225 (station, time);
CREATE INDEX ts_param_bridge_avgwindspeed_idx ON ts_param_bridge_avgwindspeed (station, time);
CREATE INDEX ts_param_bridge_windgust_idx ON ts_param_bridge_windgust (station, time);

-- A value as text.
CREATE FUNCTION tessmon_vlbimon_text(kind "char", whole bigint, number double precision, word text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE kind WHEN 't' THEN word WHEN 'i' THEN whole::text WHEN 'f' THEN number::text
                 WHEN 'b' THEN CASE whole WHEN 1 THEN 'true' ELSE 'false' END END;

-- 0 or 1, in the spellings that stations have; NULL for anything else.
CREATE FUNCTION tessmon_vlbimon_truth(kind "char", whole bigint, word text) RETURNS smallint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (CASE WHEN kind IN ('b', 'i') AND whole IN (0, 1) THEN whole
             WHEN word IN ('true', 'True') THEN 1 WHEN word IN ('false', 'False') THEN 0 END)::smallint;

-- What an event says of a value; two values of which it says the same are no change, and NULL is no event.
CREATE FUNCTION tessmon_vlbimon_meaning(
    parameter text, kind "char", whole bigint, number double precision, word text
) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN parameter = 'telescope_onSource' THEN
        CASE tessmon_vlbimon_truth(kind, whole, word) WHEN 1 THEN 'on source' WHEN 0 THEN 'off source' END
    WHEN parameter = 'telescope_observingMode' AND word !~ '\S' THEN ''
    ELSE tessmon_vlbimon_text(kind, whole, number, word) END;

-- Events are changes: points of which another thing is to say than of the point before in time. Which one that is is
-- looked up in the index, from the youngest partition on, so a late point needs no other row to be touched, and a query
-- that names a time looks at little more than that time.
CREATE VIEW ts_param_bridge_events AS
SELECT p.time, p.station, p.station || ' ' || q.event_phrase || ' ' || m.meaning AS value
FROM vlbimon_parameters AS q
JOIN vlbimon_points AS p ON p.parameter_id = q.parameter_id
CROSS JOIN LATERAL (SELECT tessmon_vlbimon_meaning(q.parameter, p.kind, p.whole, p.number, p.word) AS meaning) AS m
LEFT JOIN LATERAL (
    SELECT c.meaning
    FROM vlbimon_points AS b
    CROSS JOIN LATERAL (SELECT tessmon_vlbimon_meaning(q.parameter, b.kind, b.whole, b.number, b.word) AS meaning) AS c
    WHERE b.parameter_id = p.parameter_id AND b.station = p.station AND b.time < p.time AND c.meaning IS NOT NULL
    ORDER BY b.time DESC LIMIT 1
) AS before ON true
WHERE q.event_phrase IS NOT NULL AND m.meaning IS NOT NULL AND m.meaning IS DISTINCT FROM before.meaning;

-- See to it that parameters are known, and have a view of the right type; gives the number of each, in order.
--
-- A datatype comes from a masterlist, and NULL from a point whose parameter is in none: that never takes away what is
-- known. It runs with the owner's rights for callers without them, as tessmon_ensure_partitions does, and in a
-- transaction of its own, of which a few hundred views are as much as the server has locks for. Of two names that
-- differ in capital letters only the first has the view, and what has the view's name already and is not ours is left
-- alone. A view gets another type by being made anew: where others stand on it, or somebody looks at it for long, it
-- stays as it is until the next time.
CREATE FUNCTION tessmon_vlbimon_parameters(
    names text[], datatypes text[], partypes text[], of_units text[], descriptions text[],
    public_s double precision[], private_s double precision[], phrases text[]
) RETURNS TABLE (of_name text, of_id integer, is_new boolean, complaint text)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '3s'
AS $$
DECLARE
    most_views constant integer := 5000;
    views integer;
    given record;
    known public.vlbimon_parameters;
    wanted_type text;
    wanted_name text;
    there regclass;
    locked boolean := false;
BEGIN
    IF names IS NULL OR cardinality(names) > 500 THEN
        RAISE EXCEPTION 'a list of at most 500 parameters is wanted' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('tessmon_vlbimon_parameters', 0));
    PERFORM set_config('lock_timeout', '1s', true);  -- dashboards that ask meanwhile wait too
    SELECT count(view_name) INTO views FROM public.vlbimon_parameters;
    FOR given IN
        SELECT u.* FROM unnest(names, datatypes, partypes, of_units, descriptions, public_s, private_s, phrases)
            WITH ORDINALITY AS u (name, datatype, partype, units, description, public_s, private_s, phrase, ordinal)
        ORDER BY u.ordinal
    LOOP
        SELECT p.* INTO known FROM public.vlbimon_parameters AS p WHERE p.parameter = given.name;
        is_new := NOT FOUND;
        IF is_new THEN
            INSERT INTO public.vlbimon_parameters AS p (parameter, datatype, partype, units, description,
                                                        cadence_public_s, cadence_private_s, event_phrase)
            VALUES (given.name, given.datatype, coalesce(given.partype, ''), coalesce(given.units, ''),
                    coalesce(given.description, ''), given.public_s, given.private_s, given.phrase)
            RETURNING p.* INTO known;
        ELSIF given.datatype IS NOT NULL AND
              (known.datatype, known.partype, known.units, known.description, known.cadence_public_s,
               known.cadence_private_s, known.event_phrase)
              IS DISTINCT FROM (given.datatype, coalesce(given.partype, ''), coalesce(given.units, ''),
                                coalesce(given.description, ''), given.public_s, given.private_s, given.phrase)
        THEN
            UPDATE public.vlbimon_parameters AS p
            SET datatype = given.datatype, partype = coalesce(given.partype, ''), units = coalesce(given.units, ''),
                description = coalesce(given.description, ''), cadence_public_s = given.public_s,
                cadence_private_s = given.private_s, event_phrase = given.phrase
            WHERE p.parameter_id = known.parameter_id RETURNING p.* INTO known;
        END IF;
        of_name := known.parameter;
        of_id := known.parameter_id;
        complaint := NULL;

        -- Recorders send fractions for what their masterlist calls whole numbers.
        wanted_type := CASE
            WHEN known.datatype IN ('float', 'number')
                 OR known.parameter ~ '^recorder_[1-4]_group[a-d](Datarate|SpaceLeft|TimeLeft)$' THEN 'double precision'
            WHEN known.datatype = 'int' THEN 'bigint'
            WHEN known.datatype = 'boolean' THEN 'smallint'
            ELSE 'text' END;
        wanted_name := coalesce(known.view_name, 'ts_param_' || lower(known.parameter COLLATE "C"));
        there := to_regclass(format('public.%I', wanted_name));
        IF known.parameter !~ '^[A-Za-z_][A-Za-z0-9_]{0,53}$' OR known.datatype = 'none'
           OR there IS NOT NULL AND known.view_type = wanted_type
        THEN
            RETURN NEXT;
            CONTINUE;
        END IF;
        IF known.view_name IS NULL AND there IS NOT NULL THEN
            complaint := format('it has no view, because %I is there already', wanted_name);
        ELSIF known.view_name IS NULL AND views >= most_views THEN
            complaint := format('it has no view, because there are %s', views);
        ELSIF there IS NOT NULL AND locked THEN
            complaint := format('its view %I stays %s for now', wanted_name, known.view_type);
        ELSIF there IS NOT NULL THEN
            BEGIN
                EXECUTE format('DROP VIEW public.%I', wanted_name);
            EXCEPTION
                WHEN dependent_objects_still_exist THEN
                    complaint := format('its view %I stays %s, because others stand on it', wanted_name, known.view_type);
                WHEN lock_not_available THEN
                    locked := true;
                    complaint := format('its view %I stays %s for now', wanted_name, known.view_type);
                WHEN wrong_object_type OR insufficient_privilege THEN
                    complaint := format('%I is not its view any more', wanted_name);
            END;
        END IF;
        IF complaint IS NULL THEN
            EXECUTE format(
                'CREATE VIEW public.%I AS SELECT p.time, p.station, %s AS value, '
                'public.tessmon_vlbimon_text(p.kind, p.whole, p.number, p.word) AS sent, p.stamp '
                'FROM public.vlbimon_points AS p WHERE p.parameter_id = %s',
                wanted_name,
                CASE wanted_type
                    WHEN 'double precision'
                        THEN 'CASE p.kind WHEN ''f'' THEN p.number WHEN ''i'' THEN p.whole::double precision END'
                    WHEN 'bigint'
                        THEN 'CASE WHEN p.kind = ''i'' THEN p.whole WHEN p.number = trunc(p.number) AND abs(p.number) < 9e18'
                             ' THEN p.number::bigint END'
                    WHEN 'smallint' THEN 'public.tessmon_vlbimon_truth(p.kind, p.whole, p.word)'
                    ELSE 'public.tessmon_vlbimon_text(p.kind, p.whole, p.number, p.word)' END,
                known.parameter_id);
            EXECUTE format('GRANT SELECT ON public.%I TO tessmon_writer, tessmon_reader', wanted_name);
            views := views + (known.view_name IS NULL)::integer;
            UPDATE public.vlbimon_parameters AS p SET view_name = wanted_name, view_type = wanted_type
            WHERE p.parameter_id = known.parameter_id;
        END IF;
        RETURN NEXT;
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION tessmon_vlbimon_parameters(text[], text[], text[], text[], text[], double precision[],
                                                  double precision[], text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tessmon_vlbimon_parameters(text[], text[], text[], text[], text[], double precision[],
                                                     double precision[], text[]) TO tessmon_writer;

-- What is said of the bridge itself has its views before the first poll.
SELECT tessmon_vlbimon_parameters(
    '{bridge_points,bridge_bridgeLag,bridge_totalLag}', '{int,float,float}', '{derived,derived,derived}', '{"",s,s}',
    '{"points in a snapshot","how long the server took for one","age of the newest point"}', '{}', '{}', '{}');

-- Take up the newest point of each station and item, and bring bridge_stationstatus up to it. A point goes before
-- another by its time, then by when it was received. Callers come one after the other, until their transactions end: of
-- two that change different columns of one station none may miss the other's.
CREATE FUNCTION tessmon_vlbimon_status(
    of_stations text[], items text[], times bigint[], received_us bigint[], words text[]
) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('tessmon_vlbimon_status', 0));
    INSERT INTO public.vlbimon_status AS s (station, item, time, received_at, word)
    SELECT u.station, u.item, u.time, to_timestamp(u.received_us / 1e6), u.word
    FROM unnest(of_stations, items, times, received_us, words) AS u (station, item, time, received_us, word)
    ON CONFLICT (station, item) DO UPDATE
    SET time = excluded.time, received_at = excluded.received_at, word = excluded.word
    WHERE (excluded.time, excluded.received_at) >= (s.time, s.received_at);

    INSERT INTO public.bridge_stationstatus AS b (time, station, source, onsource, mode, recording, tsys, tau225)
    SELECT max(s.time), s.station,
           max(s.word) FILTER (WHERE s.item = 'source'),
           max(s.word) FILTER (WHERE s.item = 'onsource'),
           max(s.word) FILTER (WHERE s.item = 'mode'),
           CASE WHEN count(s.word) FILTER (WHERE s.item ~ '^[1-4]$') > 0 THEN
               coalesce(max(s.word) FILTER (WHERE s.item = '1'), '.') ||
               coalesce(max(s.word) FILTER (WHERE s.item = '2'), '.') ||
               coalesce(max(s.word) FILTER (WHERE s.item = '3'), '.') ||
               coalesce(max(s.word) FILTER (WHERE s.item = '4'), '.') END,
           (max(s.word) FILTER (WHERE s.item = 'tsys'))::double precision,
           (max(s.word) FILTER (WHERE s.item = 'tau225'))::double precision
    FROM public.vlbimon_status AS s WHERE s.station = ANY (of_stations) GROUP BY s.station
    ON CONFLICT (station) DO UPDATE
    SET time = excluded.time, source = excluded.source, onsource = excluded.onsource, mode = excluded.mode,
        recording = excluded.recording, tsys = excluded.tsys, tau225 = excluded.tau225
    WHERE (b.time, b.source, b.onsource, b.mode, b.recording, b.tsys, b.tau225)
          IS DISTINCT FROM (excluded.time, excluded.source, excluded.onsource, excluded.mode, excluded.recording,
                            excluded.tsys, excluded.tau225);
END
$$;
REVOKE ALL ON FUNCTION tessmon_vlbimon_status(text[], text[], bigint[], bigint[], text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tessmon_vlbimon_status(text[], text[], bigint[], bigint[], text[]) TO tessmon_writer;

-- As before, for one more table, whose time is in seconds.
CREATE OR REPLACE FUNCTION tessmon_ensure_partitions(parent text, months date[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET lock_timeout = '3s'
AS $$
DECLARE
    parents constant text[] := ARRAY['tess_readings_t', 'tess_readings4c_t', 'telem', 'vlbimon_points'];
    this_month constant date := date_trunc('month', now());
    next_month constant date := date_trunc('month', now()) + interval '1 month';
    latest constant date := now() + interval '2 months';
    each text;
    parent_id regclass;
    first_day date;
    following date;
    in_seconds boolean;
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
        in_seconds := each = 'vlbimon_points';
        EXECUTE format('ALTER TABLE public.%I ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
                       each, partition_name,
                       CASE WHEN in_seconds THEN extract(epoch FROM first_day::timestamptz)::bigint::text
                            ELSE first_day::timestamptz::text END,
                       CASE WHEN in_seconds THEN extract(epoch FROM following::timestamptz)::bigint::text
                            ELSE following::timestamptz::text END);
        PERFORM public.tessmon_add_dates(first_day, following - 1);
    END LOOP;
END
$$;

GRANT SELECT ON vlbimon_parameters, vlbimon_stations, vlbimon_points, vlbimon_clients, vlbimon_status,
    bridge_stationstatus, ts_param_bridge_events, ts_param_schedule, ts_param_bridge_forecasttau225,
    ts_param_bridge_avgwindspeed, ts_param_bridge_windgust TO tessmon_writer, tessmon_reader;
GRANT INSERT, UPDATE ON vlbimon_stations, vlbimon_points, vlbimon_clients, vlbimon_status TO tessmon_writer;
-- All columns but scan.
GRANT INSERT (time, station, source, onsource, mode, recording, tsys, tau225),
    UPDATE (time, source, onsource, mode, recording, tsys, tau225) ON bridge_stationstatus TO tessmon_writer;
GRANT INSERT, UPDATE, DELETE ON ts_param_schedule, ts_param_bridge_forecasttau225, ts_param_bridge_avgwindspeed,
    ts_param_bridge_windgust TO tessmon_writer;
