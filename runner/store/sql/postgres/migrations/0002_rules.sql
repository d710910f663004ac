-- What the database itself sees to: what may follow what, one at a time, and counting.

CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'check_violation';
END $$;

CREATE TRIGGER runs_begin BEFORE INSERT ON runs FOR EACH ROW WHEN (NEW.status NOT IN ('scheduled', 'queued'))
EXECUTE FUNCTION refuse('a run begins as scheduled or queued');

CREATE FUNCTION check_transition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM transitions WHERE transitions.old = OLD.status AND transitions.new = NEW.status) THEN
        RAISE EXCEPTION 'a status that may not follow: % after %', NEW.status, OLD.status
        USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER runs_follow BEFORE UPDATE OF status ON runs FOR EACH ROW WHEN (OLD.status <> NEW.status)
EXECUTE FUNCTION check_transition();

CREATE FUNCTION check_holds() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM holders WHERE run = NEW.seq) THEN
        RAISE EXCEPTION 'a run of a queue runs only while it holds a slot of it' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER runs_hold BEFORE UPDATE OF status ON runs FOR EACH ROW
WHEN (NEW.status = 'running' AND NEW.queue <> '') EXECUTE FUNCTION check_holds();

CREATE FUNCTION check_slot() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.slot >= (SELECT concurrency FROM queues WHERE app = NEW.app AND name = NEW.queue)
        OR NOT EXISTS (SELECT 1 FROM runs WHERE seq = NEW.run AND app = NEW.app AND queue = NEW.queue) THEN
        RAISE EXCEPTION 'no such slot in the queue, or no run of it' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER holders_fit BEFORE INSERT ON holders FOR EACH ROW EXECUTE FUNCTION check_slot();

CREATE FUNCTION check_free() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT status FROM runs WHERE seq = OLD.run) = 'running' THEN
        RAISE EXCEPTION 'a running run keeps its slot' USING ERRCODE = 'check_violation';
    END IF;
    RETURN OLD;
END $$;

CREATE TRIGGER holders_stay BEFORE DELETE ON holders FOR EACH ROW EXECUTE FUNCTION check_free();

-- Only final runs are deleted, so no lane counts them any more.
CREATE TRIGGER runs_end BEFORE DELETE ON runs FOR EACH ROW WHEN (OLD.finished_at IS NULL)
EXECUTE FUNCTION refuse('only a final run can be deleted');

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

CREATE FUNCTION count_inserted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM keep_lane(app, task)
    FROM (SELECT DISTINCT app, task FROM came WHERE queue = '' AND ready = 1 ORDER BY app, task) AS lane;
    PERFORM count_lanes(app, queue, task, ready, later)
    FROM (SELECT app, queue, task, sum(ready)::bigint AS ready, sum(1 - ready)::bigint AS later
          FROM came WHERE queue <> '' GROUP BY app, queue, task ORDER BY app, queue, task) AS lane;
    INSERT INTO totals (app, task, status, share, runs)
    SELECT app, CASE queue WHEN '' THEN task ELSE '' END, status, pg_backend_pid() % 64, count(*)
    FROM came GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    ON CONFLICT (app, task, status, share) DO UPDATE SET runs = totals.runs + excluded.runs;
    INSERT INTO run_tags (app, tag, run)
    SELECT DISTINCT app, value, seq FROM came, jsonb_array_elements_text(tags::jsonb) AS value WHERE tags <> '[]';
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
