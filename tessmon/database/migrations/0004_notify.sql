-- SPDX-License-Identifier: MIT
-- Hints to the running service: what it remembers of photometers has changed; rejects wait to be taken again.
-- A row that did change tells (a statement that touched none stays silent); PostgreSQL sends equal hints of one
-- transaction once. The payload is the table's name. Fact tables have no triggers.

CREATE FUNCTION tessmon_notify() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pg_notify(TG_ARGV[0], TG_TABLE_NAME);
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION tessmon_notify() FROM PUBLIC;

CREATE TRIGGER tell AFTER INSERT OR UPDATE OR DELETE ON tess_t
    FOR EACH ROW EXECUTE FUNCTION tessmon_notify('tessmon_photometers');
CREATE TRIGGER tell AFTER INSERT OR UPDATE OR DELETE ON name_to_mac_t
    FOR EACH ROW EXECUTE FUNCTION tessmon_notify('tessmon_photometers');
CREATE TRIGGER tell AFTER INSERT OR UPDATE OR DELETE ON location_t
    FOR EACH ROW EXECUTE FUNCTION tessmon_notify('tessmon_photometers');
CREATE TRIGGER tell AFTER UPDATE OF due ON rejects
    FOR EACH ROW WHEN (NEW.due AND NOT OLD.due) EXECUTE FUNCTION tessmon_notify('tessmon_rejects');
