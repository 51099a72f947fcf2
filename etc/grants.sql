-- SPDX-License-Identifier: MIT
-- For administrators who make roles and databases themselves, instead of letting "tessmon db init" do it:
--
--   psql --username=postgres --set=login=ana --set=database=tessmon --file=grants.sql
--   tessmon db init --dsn 'host=db.example.org dbname=tessmon user=ana'
--
-- ana is a role that logs in, and is there already: whoever makes the tables now ("db init" finds nothing else left to
-- do) and renews them later ("db migrate"). The script may be run again. The rights to each table come with the tables;
-- "tessmon db check" looks whether all of them are right.

\set ON_ERROR_STOP on
SELECT :'login'::regrole AS "makes the tables", :'database' AS "in the database";

-- Owns every table, and logs in nowhere.
SELECT 'CREATE ROLE tessmon NOLOGIN'
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'tessmon') \gexec
-- The service: writes rows, makes and drops nothing. Give it a password with \password tessmon_writer.
SELECT 'CREATE ROLE tessmon_writer LOGIN'
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'tessmon_writer') \gexec
-- Dashboards: read. More readers: GRANT tessmon_reader TO ...
SELECT 'CREATE ROLE tessmon_reader LOGIN'
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'tessmon_reader') \gexec
GRANT tessmon TO :"login";

SELECT format('CREATE DATABASE %I OWNER tessmon ENCODING ''UTF8'' TEMPLATE template0', :'database')
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'database') \gexec
\connect :"database"
GRANT USAGE, CREATE ON SCHEMA public TO tessmon;
GRANT USAGE ON SCHEMA public TO tessmon_writer, tessmon_reader;
-- Before PostgreSQL 15 everybody may make tables there.
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
