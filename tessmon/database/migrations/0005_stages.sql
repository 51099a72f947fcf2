-- SPDX-License-Identifier: MIT
-- What a replay of a lane's stages needs beside the position it begins from: the settings that decoder and stages were
-- made from, which a reload or a restart may have changed since, and what the stages can't find out from frames.

ALTER TABLE positions
    ADD COLUMN settings text NOT NULL DEFAULT '',     -- empty: not noted yet
    ADD COLUMN notes jsonb NOT NULL DEFAULT '{}';

DROP FUNCTION tessmon_advance(text, text, bigint[], bigint[], bigint[]);

-- low is part of the fence: what stages let go of when settings change is stored without moving the position.
CREATE FUNCTION tessmon_advance(
    of_lane text, of_origin text, old_position bigint[], old_low bigint[], new_position bigint[], new_low bigint[],
    new_settings text, new_notes jsonb
) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE public.positions
    SET position = new_position, low = new_low, settings = coalesce(new_settings, settings), notes = new_notes,
        updated_at = now()
    WHERE lane = of_lane AND origin = of_origin AND position = old_position AND low = old_low;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'lane % is not at position % of origin %', of_lane, old_position, of_origin
            USING ERRCODE = 'TM001';
    END IF;
END
$$;

REVOKE ALL ON FUNCTION tessmon_advance(text, text, bigint[], bigint[], bigint[], bigint[], text, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tessmon_advance(text, text, bigint[], bigint[], bigint[], bigint[], text, jsonb) TO tessmon_writer;

-- Rows that are all new are inserted without ON CONFLICT now: the unique key says when one is not.
DROP FUNCTION tessmon_expect(bigint, bigint);
