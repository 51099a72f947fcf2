-- SPDX-License-Identifier: MIT
-- What a lane writes in the transaction of its batch, beside the rows: how far it is, what it refused, what
-- became of all it read, what happened to its source.

CREATE TABLE positions (
    lane text NOT NULL,
    origin text NOT NULL,
    position bigint[] NOT NULL,
    low bigint[] NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (lane, origin)
) WITH (fillfactor = 50);                     -- room for the next version in the same page: an update per batch

CREATE TABLE rejects (
    reject_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    lane text NOT NULL,
    origin text NOT NULL,
    position bigint[] NOT NULL,
    piece integer NOT NULL DEFAULT 0,         -- which part of the frame, where a frame has several
    received_at timestamptz NOT NULL,
    reason text NOT NULL,
    subject text NOT NULL DEFAULT '',
    detail text NOT NULL,
    due boolean NOT NULL DEFAULT false,       -- the lane shall take it again
    topic text NOT NULL,                      -- for human eyes; the envelope has it exactly
    envelope bytea NOT NULL,                  -- envelope and payload together are the packed frame
    payload bytea NOT NULL,
    rejected_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (lane, origin, position, piece)
);
CREATE INDEX rejects_due_idx ON rejects (lane, origin, position, piece) WHERE due;
CREATE INDEX rejects_reason_idx ON rejects (lane, reason, subject);
CREATE INDEX rejects_received_at_idx ON rejects (received_at);

CREATE TABLE tallies (
    lane text NOT NULL,
    subject text NOT NULL,
    hour timestamptz NOT NULL,
    cause text NOT NULL DEFAULT '',
    stored bigint NOT NULL DEFAULT 0,
    duplicate bigint NOT NULL DEFAULT 0,
    filtered bigint NOT NULL DEFAULT 0,
    rejected bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (lane, subject, hour, cause)
) WITH (fillfactor = 80);

CREATE TABLE source_events (
    event_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    lane text NOT NULL,
    origin text NOT NULL,
    position bigint[] NOT NULL,
    source text NOT NULL,
    what text NOT NULL,
    detail jsonb NOT NULL DEFAULT '{}',
    UNIQUE (lane, origin, position)
);
CREATE INDEX source_events_at_idx ON source_events (at);

-- First statement of a batch's transaction: the lane goes on from where it believes to be, or nothing is written.
CREATE FUNCTION tessmon_advance(
    of_lane text, of_origin text, old_position bigint[], new_position bigint[], new_low bigint[]
) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE public.positions SET position = new_position, low = new_low, updated_at = now()
    WHERE lane = of_lane AND origin = of_origin AND position = old_position;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'lane % is not at position % of origin %', of_lane, old_position, of_origin
            USING ERRCODE = 'TM001';
    END IF;
END
$$;

-- Ends a transaction in which a statement did not touch as many rows as its sender counted on.
CREATE FUNCTION tessmon_expect(got bigint, wanted bigint) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF got IS DISTINCT FROM wanted THEN
        RAISE EXCEPTION '% rows instead of %', coalesce(got::text, 'no'), wanted USING ERRCODE = 'TM002';
    END IF;
END
$$;

REVOKE ALL ON FUNCTION tessmon_advance(text, text, bigint[], bigint[], bigint[]) FROM PUBLIC;
REVOKE ALL ON FUNCTION tessmon_expect(bigint, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tessmon_advance(text, text, bigint[], bigint[], bigint[]) TO tessmon_writer;
GRANT EXECUTE ON FUNCTION tessmon_expect(bigint, bigint) TO tessmon_writer;

GRANT SELECT, INSERT, UPDATE ON positions, tallies TO tessmon_writer;
GRANT SELECT, INSERT, UPDATE, DELETE ON rejects TO tessmon_writer;
GRANT SELECT, INSERT ON source_events TO tessmon_writer;

-- Readings are public; the bytes of a reject may be anything that anyone published, so dashboards see all but them.
GRANT SELECT ON positions, tallies, source_events TO tessmon_reader;
GRANT SELECT (reject_id, lane, origin, position, piece, received_at, reason, subject, detail, due, topic, rejected_at)
    ON rejects TO tessmon_reader;
