-- Version 6: a store that is being made as the copy of another one takes runs in any status.

CREATE TABLE copying (
    one integer PRIMARY KEY CHECK (one = 1),
    source text NOT NULL
);

CREATE FUNCTION check_beginning() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM copying) THEN
        RAISE EXCEPTION 'a run begins as scheduled or queued' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

DROP TRIGGER runs_begin ON runs;

CREATE TRIGGER runs_begin BEFORE INSERT ON runs FOR EACH ROW WHEN (NEW.status NOT IN ('scheduled', 'queued'))
EXECUTE FUNCTION check_beginning();

CREATE OR REPLACE FUNCTION count_inserted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM keep_lane(app, task)
    FROM (SELECT DISTINCT app, task FROM came WHERE queue = '' AND ready = 1 ORDER BY app, task) AS lane;
    PERFORM count_lanes(app, queue, task, ready, later)
    FROM (SELECT app, queue, task, sum(ready)::bigint AS ready, sum(1 - ready)::bigint AS later
          FROM came WHERE queue <> '' AND ready IS NOT NULL GROUP BY app, queue, task ORDER BY app, queue, task) AS lane;
    INSERT INTO totals (app, task, status, share, runs)
    SELECT app, CASE queue WHEN '' THEN task ELSE '' END, status, pg_backend_pid() % 64, count(*)
    FROM came GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    ON CONFLICT (app, task, status, share) DO UPDATE SET runs = totals.runs + excluded.runs;
    INSERT INTO run_tags (app, tag, run)
    SELECT DISTINCT app, value, seq FROM came, jsonb_array_elements_text(tags::jsonb) AS value WHERE tags <> '[]';
    RETURN NULL;
END $$;
