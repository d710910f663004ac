-- What time brings, and handing out runs.

-- When there will be something to do without anybody telling.
CREATE FUNCTION next_instant() RETURNS bigint LANGUAGE sql SET enable_seqscan = off AS $$
    SELECT least(
        (SELECT due_at FROM runs WHERE ready = 0 ORDER BY due_at LIMIT 1),
        (SELECT expires_at FROM runs WHERE expires_at IS NOT NULL AND ready IS NOT NULL AND started_at IS NULL
         ORDER BY expires_at LIMIT 1),
        (SELECT opens_at FROM queues WHERE opens_at IS NOT NULL ORDER BY opens_at LIMIT 1)
    )
$$;

-- The lane whose turn it is, of each task that has one: tasks are stepped through, lanes are not.
CREATE FUNCTION heads() RETURNS TABLE (app text, task text, turn bigint, queue text)
LANGUAGE plpgsql SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
BEGIN
    RETURN QUERY WITH RECURSIVE step AS (
        (SELECT lanes.app, lanes.task, lanes.turn, lanes.queue FROM lanes
         WHERE lanes.ready > 0 AND lanes.open AND lanes.loadable
         ORDER BY lanes.app, lanes.task, lanes.turn, lanes.queue LIMIT 1)
        UNION ALL
        SELECT following.* FROM step, LATERAL (
            SELECT lanes.app, lanes.task, lanes.turn, lanes.queue FROM lanes
            WHERE lanes.ready > 0 AND lanes.open AND lanes.loadable AND (lanes.app, lanes.task) > (step.app, step.task)
            ORDER BY lanes.app, lanes.task, lanes.turn, lanes.queue LIMIT 1
        ) AS following
    )
    SELECT * FROM step;
END $$;

-- The same of one task, leaving out the lanes named in `p_skip`: each a queue, a line feed and a task.
CREATE FUNCTION head_of(p_app text, p_task text, p_skip text[]) RETURNS TABLE (turn bigint, queue text)
LANGUAGE plpgsql SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
BEGIN
    RETURN QUERY SELECT lanes.turn, lanes.queue FROM lanes
    WHERE lanes.ready > 0 AND lanes.open AND lanes.loadable AND lanes.app = p_app AND lanes.task = p_task
        AND (lanes.queue || E'\n' || lanes.task) <> ALL (p_skip)
    ORDER BY lanes.app, lanes.task, lanes.turn, lanes.queue LIMIT 1;
END $$;

-- Do what is due at `p_now`, up to `p_limit` of each kind; returns the runs that expired. Queues and runs that others
-- are busy with are left to them, or to the next call.
CREATE FUNCTION ripen(p_now bigint, p_limit integer) RETURNS SETOF runs
LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    expiring bigint[];
    due bigint[];
    opening_apps text[];
    opening text[];
    held_apps text[];
    held text[];
BEGIN
    SELECT array_agg(seq) INTO expiring FROM (
        SELECT seq FROM runs
        WHERE expires_at IS NOT NULL AND ready IS NOT NULL AND started_at IS NULL AND expires_at <= p_now
        ORDER BY expires_at LIMIT p_limit
    ) AS each;
    SELECT array_agg(seq) INTO due FROM (
        SELECT seq FROM runs WHERE ready = 0 AND due_at <= p_now ORDER BY due_at LIMIT p_limit
    ) AS each;
    SELECT array_agg(app), array_agg(name) INTO opening_apps, opening FROM (
        SELECT app, name FROM queues WHERE opens_at <= p_now ORDER BY opens_at LIMIT p_limit
    ) AS each;
    SELECT array_agg(app), array_agg(name) INTO held_apps, held FROM (
        SELECT app, name FROM queues
        WHERE (app, name) IN (
            SELECT app, queue FROM runs WHERE seq = ANY (expiring || due) AND queue <> ''
            UNION SELECT * FROM unnest(opening_apps, opening)
        )
        ORDER BY app, name FOR UPDATE SKIP LOCKED
    ) AS each;
    RETURN QUERY UPDATE runs SET status = 'expired', ready = NULL, finished_at = p_now,
        why = 'it was not started before it expired'
    WHERE seq IN (
        SELECT seq FROM runs
        WHERE seq = ANY (expiring) AND ready IS NOT NULL AND started_at IS NULL
            AND (queue = '' OR (app, queue) IN (SELECT * FROM unnest(held_apps, held)))
        ORDER BY seq FOR UPDATE SKIP LOCKED
    )
    RETURNING *;
    UPDATE runs SET ready = 1, status = CASE status WHEN 'scheduled' THEN 'queued' ELSE status END
    WHERE seq IN (
        SELECT seq FROM runs
        WHERE seq = ANY (due) AND ready = 0
            AND (queue = '' OR (app, queue) IN (SELECT * FROM unnest(held_apps, held)))
        ORDER BY seq FOR UPDATE SKIP LOCKED
    );
    UPDATE queues SET opens_at = NULL
    WHERE opens_at <= p_now AND (app, name) IN (SELECT * FROM unnest(held_apps, held));
    PERFORM refresh(app, name) FROM unnest(held_apps, held) AS queue (app, name);
END $$;

-- Begin an attempt of the best run of this lane. The rows returned are the new heads of the tasks that this changed;
-- `outcome` is 'started', 'gone' where there is nothing to start any more, or 'locked' where somebody else is busy with
-- the queue and the caller does not want to wait. Waiting is for callers that hold no queue yet.
CREATE FUNCTION start(p_app text, p_task text, p_queue text, p_node text, p_token text, p_now bigint, p_wait boolean,
                      p_skip text[])
RETURNS TABLE (outcome text, task text, turn bigint, queue text)
LANGUAGE plpgsql SET enable_seqscan = off SET enable_bitmapscan = off AS $$
#variable_conflict use_column
DECLARE
    gate queues%ROWTYPE;
    chosen bigint;
    is_held boolean := FALSE;
    number integer;
    following text;
BEGIN
    outcome := 'gone';
    IF p_queue <> '' THEN
        IF p_wait THEN
            SELECT * INTO gate FROM queues WHERE app = p_app AND name = p_queue FOR UPDATE;
        ELSE
            SELECT * INTO gate FROM queues WHERE app = p_app AND name = p_queue FOR UPDATE SKIP LOCKED;
            IF NOT FOUND AND EXISTS (SELECT 1 FROM queues WHERE app = p_app AND name = p_queue) THEN
                outcome := 'locked';
            END IF;
        END IF;
        IF gate.name IS NOT NULL AND EXISTS (
            SELECT 1 FROM lanes
            WHERE lanes.app = p_app AND lanes.queue = p_queue AND lanes.task = p_task
                AND lanes.ready > 0 AND lanes.open AND lanes.loadable
        ) THEN
            SELECT runs.seq INTO chosen FROM holders JOIN runs ON runs.seq = holders.run
            WHERE holders.app = p_app AND holders.queue = p_queue AND runs.ready = 1 LIMIT 1;
            is_held := FOUND;
            IF NOT is_held THEN
                SELECT runs.seq INTO chosen FROM runs
                WHERE runs.app = p_app AND runs.queue = p_queue AND runs.task = p_task AND runs.ready = 1
                ORDER BY runs.priority DESC, runs.seq LIMIT 1;
            END IF;
        END IF;
    ELSE
        SELECT runs.seq INTO chosen FROM runs
        WHERE runs.app = p_app AND runs.queue = '' AND runs.task = p_task AND runs.ready = 1
        ORDER BY runs.priority DESC, runs.seq LIMIT 1 FOR UPDATE SKIP LOCKED;
        IF chosen IS NULL THEN
            PERFORM 1 FROM lanes
            WHERE lanes.app = p_app AND lanes.queue = '' AND lanes.task = p_task FOR UPDATE SKIP LOCKED;
            IF FOUND THEN
                DELETE FROM lanes WHERE lanes.app = p_app AND lanes.queue = '' AND lanes.task = p_task AND NOT EXISTS (
                    SELECT 1 FROM runs
                    WHERE runs.app = p_app AND runs.queue = '' AND runs.task = p_task AND runs.ready = 1
                );
            END IF;
        END IF;
    END IF;
    IF chosen IS NOT NULL THEN
        outcome := 'started';
        IF p_queue <> '' AND NOT is_held THEN
            INSERT INTO holders (app, queue, slot, run, since)
            SELECT p_app, p_queue, min(free.slot), chosen, p_now
            FROM generate_series(0, gate.concurrency - 1) AS free (slot)
            WHERE NOT EXISTS (
                SELECT 1 FROM holders
                WHERE holders.app = p_app AND holders.queue = p_queue AND holders.slot = free.slot
            );
        END IF;
        UPDATE runs SET status = 'running', ready = NULL, attempt_count = attempt_count + 1,
            started_at = coalesce(started_at, p_now)
        WHERE seq = chosen RETURNING attempt_count INTO number;
        INSERT INTO attempts (run, number, token, node, started_at) VALUES (chosen, number, p_token, p_node, p_now);
        IF p_queue <> '' THEN
            UPDATE queues SET opens_at = p_now + interval_us
            WHERE app = p_app AND name = p_queue AND interval_us > 0;
            following := refresh(p_app, p_queue);
            UPDATE lanes SET turn = nextval('turns') WHERE lanes.app = p_app AND lanes.queue = p_queue;
        ELSE
            -- Whoever moves the lane on at this moment moves it for both.
            UPDATE lanes SET turn = nextval('turns')
            WHERE lanes.app = p_app AND lanes.queue = '' AND lanes.task = (
                SELECT each.task FROM lanes AS each
                WHERE each.app = p_app AND each.queue = '' AND each.task = p_task FOR NO KEY UPDATE SKIP LOCKED
            );
        END IF;
    END IF;
    RETURN QUERY SELECT start.outcome, changed.task, head.turn, head.queue
    FROM (SELECT p_task UNION SELECT following WHERE following IS NOT NULL) AS changed (task)
    LEFT JOIN LATERAL head_of(p_app, changed.task, p_skip) AS head ON TRUE;
END $$;
