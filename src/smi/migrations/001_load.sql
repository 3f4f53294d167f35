-- The tables of a load, beside the device table. Every statement may be run again.
--
-- `smi-sweep load --init` runs this, with quoted names for the variables that begin with a colon. By hand:
--   psql -v schema=public -v removed=device_removed -v removed_index=device_removed_load_ord -v outbox=alert_outbox \
--        -v inventory=public.device -f 001_load.sql

-- One row for each run that was loaded, or is being loaded.
CREATE TABLE IF NOT EXISTS :schema.sweep_load (
    load_id      integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id       text        NOT NULL UNIQUE,     -- follows from the run's decisions; see run.json
    inventory    text        NOT NULL,            -- the device table
    as_of        timestamptz NOT NULL,            -- the moment that the run judged by
    state        text        NOT NULL CHECK (state IN ('staged', 'loading', 'loaded', 'undoing', 'undone')),
    planned      bigint      NOT NULL,            -- devices in the delete manifest
    done         bigint      NOT NULL DEFAULT 0,  -- how many of them have been tried, in the manifest's order
    deleted      bigint      NOT NULL DEFAULT 0,
    alerts       bigint      NOT NULL DEFAULT 0,  -- rows that were written into the outbox
    started_at   timestamptz NOT NULL DEFAULT now(),
    finished_at  timestamptz,
    undone_at    timestamptz,
    columns      jsonb                            -- the archived columns of the device table: name to type
);
ALTER TABLE :schema.sweep_load ADD COLUMN IF NOT EXISTS columns jsonb;

-- One row for each planned device that was not deleted, with what was found instead.
CREATE TABLE IF NOT EXISTS :schema.sweep_load_kept (
    load_id      integer NOT NULL,
    load_ord     bigint  NOT NULL,                -- place in the delete manifest, from 0
    outcome      text    NOT NULL CHECK (outcome IN ('changed', 'gone', 'failed', 'locked')),
    reason       text    NOT NULL,
    found_type   text,
    found_status text,
    found_since  timestamptz,
    found_party  text,
    PRIMARY KEY (load_id, load_ord)
);

-- The alerts to send: one for each deleted device whose party is alerted. The program that sends one sets `sent_at`.
CREATE TABLE IF NOT EXISTS :schema.:outbox (
    load_id         integer NOT NULL,
    load_ord        bigint  NOT NULL,
    alert_code      text    NOT NULL,
    notifying_party text    NOT NULL,
    device_id       text    NOT NULL,             -- canonical: 00-DB-12-34-56-78-90-A0
    device_type     text    NOT NULL,
    status_since    timestamptz NOT NULL,
    due_on          date    NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    sent_at         timestamptz,
    PRIMARY KEY (load_id, load_ord)
);

-- The archive: deleted rows with all columns of the device table and no constraint, so that they can be restored.
CREATE TABLE IF NOT EXISTS :schema.:removed AS
    SELECT 0::integer AS load_id, 0::bigint AS load_ord, now() AS removed_at, NULL::timestamptz AS restored_at, d.*
    FROM :inventory AS d
    WITH NO DATA;
CREATE UNIQUE INDEX IF NOT EXISTS :removed_index ON :schema.:removed (load_id, load_ord);
