-- What is counted is counted here and nowhere else, once per statement.

-- Give a task without a queue its lane, and keep it from being deleted before this transaction is over: a claim that
-- finds the lane empty deletes it only with a lock that waits for this one, and then looks again.
CREATE FUNCTION keep_lane(p_app text, p_task text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    LOOP
        PERFORM 1 FROM lanes WHERE app = p_app AND queue = '' AND task = p_task FOR KEY SHARE;
        EXIT WHEN FOUND;
        INSERT INTO lanes (app, queue, task, ready, later, open, loadable, turn)
        VALUES (p_app, '', p_task, 1, 0, TRUE,
                EXISTS (SELECT 1 FROM announced WHERE app = p_app AND task = p_task), nextval('turns'))
        ON CONFLICT DO NOTHING;
    END LOOP;
END $$;

CREATE FUNCTION count_lanes(p_app text, p_queue text, p_task text, p_ready bigint, p_later bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE lanes SET ready = ready + p_ready, later = later + p_later
    WHERE app = p_app AND queue = p_queue AND task = p_task;
    IF NOT FOUND THEN
        INSERT INTO lanes (app, queue, task, ready, later, open, loadable, turn)
        VALUES (p_app, p_queue, p_task, p_ready, p_later, FALSE,
                EXISTS (SELECT 1 FROM announced WHERE app = p_app AND task = p_task), nextval('turns'));
    ELSIF p_ready < 0 OR p_later < 0 THEN
        DELETE FROM lanes
        WHERE app = p_app AND queue = p_queue AND task = p_task AND ready = 0 AND later = 0;
    END IF;
END $$;

-- Nothing is looked for that is not among the new rows: most calls store runs of one kind.
CREATE FUNCTION count_inserted() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    has_lanes boolean;
    has_queues boolean;
    has_tags boolean;
BEGIN
    SELECT bool_or(queue = ''), bool_or(queue <> ''), bool_or(tags <> '[]') INTO has_lanes, has_queues, has_tags
    FROM came;
    IF has_lanes THEN
        PERFORM keep_lane(app, task)
        FROM (SELECT DISTINCT app, task FROM came WHERE queue = '' AND ready = 1 ORDER BY app, task) AS lane;
    END IF;
    IF has_queues THEN
        PERFORM count_lanes(app, queue, task, ready, later)
        FROM (SELECT app, queue, task, sum(ready)::bigint AS ready, sum(1 - ready)::bigint AS later
              FROM came WHERE queue <> '' AND ready IS NOT NULL
              GROUP BY app, queue, task ORDER BY app, queue, task) AS lane;
    END IF;
    INSERT INTO totals (app, task, status, share, runs)
    SELECT app, CASE queue WHEN '' THEN task ELSE '' END, status, pg_backend_pid() % 64, count(*)
    FROM came GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    ON CONFLICT (app, task, status, share) DO UPDATE SET runs = totals.runs + excluded.runs;
    IF has_tags THEN
        INSERT INTO run_tags (app, tag, run)
        SELECT DISTINCT app, value, seq FROM came, jsonb_array_elements_text(tags::jsonb) AS value WHERE tags <> '[]';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER runs_inserted AFTER INSERT ON runs REFERENCING NEW TABLE AS came
FOR EACH STATEMENT EXECUTE FUNCTION count_inserted();

CREATE FUNCTION count_updated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM keep_lane(app, task)
    FROM (SELECT DISTINCT app, task FROM came WHERE queue = '' AND ready = 1 ORDER BY app, task) AS lane;
    PERFORM count_lanes(app, queue, task, ready, later)
    FROM (
        SELECT app, queue, task, sum(ready)::bigint AS ready, sum(later)::bigint AS later
        FROM (
            SELECT app, queue, task, ready, 1 - ready AS later FROM came WHERE queue <> '' AND ready IS NOT NULL
            UNION ALL
            SELECT app, queue, task, -ready, ready - 1 FROM went WHERE queue <> '' AND ready IS NOT NULL
        ) AS change
        GROUP BY app, queue, task HAVING sum(ready) <> 0 OR sum(later) <> 0 ORDER BY app, queue, task
    ) AS lane;
    INSERT INTO totals (app, task, status, share, runs)
    SELECT app, lane, status, pg_backend_pid() % 64, sum(runs)
    FROM (
        SELECT app, CASE queue WHEN '' THEN task ELSE '' END AS lane, status, 1 AS runs FROM came
        UNION ALL
        SELECT app, CASE queue WHEN '' THEN task ELSE '' END, status, -1 FROM went
    ) AS change
    GROUP BY app, lane, status HAVING sum(runs) <> 0 ORDER BY app, lane, status
    ON CONFLICT (app, task, status, share) DO UPDATE SET runs = totals.runs + excluded.runs;
    RETURN NULL;
END $$;

CREATE TRIGGER runs_updated AFTER UPDATE ON runs REFERENCING OLD TABLE AS went NEW TABLE AS came
FOR EACH STATEMENT EXECUTE FUNCTION count_updated();

CREATE FUNCTION count_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO totals (app, task, status, share, runs)
    SELECT app, CASE queue WHEN '' THEN task ELSE '' END, status, pg_backend_pid() % 64, -count(*)
    FROM went GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    ON CONFLICT (app, task, status, share) DO UPDATE SET runs = totals.runs + excluded.runs;
    DELETE FROM run_parameters USING went WHERE run_parameters.run = went.seq;
    DELETE FROM run_responses USING went WHERE run_responses.run = went.seq;
    DELETE FROM attempts USING went WHERE attempts.run = went.seq;
    DELETE FROM run_tags USING went, jsonb_array_elements_text(went.tags::jsonb) AS value
    WHERE went.tags <> '[]' AND run_tags.app = went.app AND run_tags.tag = value AND run_tags.run = went.seq;
    RETURN NULL;
END $$;

CREATE TRIGGER runs_deleted AFTER DELETE ON runs REFERENCING OLD TABLE AS went
FOR EACH STATEMENT EXECUTE FUNCTION count_deleted();
