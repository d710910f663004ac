-- Locking queues, and which of a queue's lanes is open.
--
-- Here and in what follows plans are pinned to indexes: a table that was just filled or emptied must not be walked
-- through because its statistics are old. All functions are in PL/pgSQL: those in SQL are planned again at each call,
-- these once for each connection, and where generic plans are forced not for each value either.

-- Give each of these queues its row and lock it, in one order for all callers, so that they never wait in a circle.
CREATE FUNCTION lock_queues(p_app text[], p_name text[], p_concurrency integer[], p_strict boolean[],
                            p_interval_us bigint[], p_rate text[])
RETURNS void LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE wanted record;
BEGIN
    FOR wanted IN
        SELECT * FROM unnest(p_app, p_name, p_concurrency, p_strict, p_interval_us, p_rate)
            AS queue (app, name, concurrency, is_strict, interval_us, rate)
        ORDER BY app COLLATE "C", name COLLATE "C"
    LOOP
        LOOP
            PERFORM 1 FROM queues WHERE app = wanted.app AND name = wanted.name FOR UPDATE;
            EXIT WHEN FOUND;
            INSERT INTO queues (app, name, concurrency, strict, interval_us, rate)
            VALUES (wanted.app, wanted.name, wanted.concurrency, wanted.is_strict, wanted.interval_us, wanted.rate)
            ON CONFLICT DO NOTHING;
        END LOOP;
    END LOOP;
END $$;

-- Open the lane of the queue's next run and shut its others; the task of the open lane. The caller holds the queue.
CREATE FUNCTION refresh(p_app text, p_queue text) RETURNS text
LANGUAGE plpgsql SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
    gate queues%ROWTYPE;
    held bigint;
    task_of_open text;
BEGIN
    SELECT * INTO gate FROM queues WHERE app = p_app AND name = p_queue;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    SELECT count(*) INTO held FROM holders WHERE app = p_app AND queue = p_queue;
    IF gate.paused_at IS NULL AND gate.opens_at IS NULL THEN
        IF held < gate.concurrency THEN
            -- The run that goes next: the best of the best of each lane. Only strict order stops at a task that cannot
            -- be loaded.
            SELECT best.task INTO task_of_open
            FROM lanes, LATERAL (
                SELECT runs.task, runs.priority, runs.seq FROM runs
                WHERE runs.app = p_app AND runs.queue = p_queue AND runs.task = lanes.task AND runs.ready = 1
                ORDER BY runs.priority DESC, runs.seq LIMIT 1
            ) AS best
            WHERE lanes.app = p_app AND lanes.queue = p_queue AND lanes.ready > 0
                AND (lanes.loadable OR gate."strict")
            ORDER BY best.priority DESC, best.seq LIMIT 1;
        ELSIF gate."strict" THEN
            SELECT runs.task INTO task_of_open FROM holders JOIN runs ON runs.seq = holders.run
            WHERE holders.app = p_app AND holders.queue = p_queue AND runs.ready = 1 LIMIT 1;
        END IF;
    END IF;
    UPDATE lanes SET open = (task IS NOT DISTINCT FROM task_of_open)
    WHERE app = p_app AND queue = p_queue AND open <> (task IS NOT DISTINCT FROM task_of_open);
    IF task_of_open IS NULL AND held = 0 AND gate.paused_at IS NULL AND gate.opens_at IS NULL
        AND NOT EXISTS (SELECT 1 FROM lanes WHERE app = p_app AND queue = p_queue) THEN
        DELETE FROM queues WHERE app = p_app AND name = p_queue;
    END IF;
    RETURN task_of_open;
END $$;

-- Bring up to `p_limit` lanes in line with what is announced; whether that was all, and whether anything was opened.
-- What enqueues at the same moment may not see an announcement, nor be seen by it: the sweep calls this again.
-- It is done by one at a time. Two at once would work from two states of what is announced, and the later writer would
-- open a lane again whose task was withdrawn meanwhile.
CREATE FUNCTION settle_announced(p_limit integer, OUT done boolean, OUT opened boolean)
LANGUAGE plpgsql SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
    lane record;
    settled integer := 0;
    is_known boolean;
BEGIN
    -- Held to the end of the transaction. Who has withdrawn a task comes after whoever still believed in it.
    PERFORM pg_advisory_xact_lock(hashtext('isolane settle_announced'));
    opened := FALSE;
    FOR lane IN
        WITH RECURSIVE step AS (
            (SELECT app, task FROM lanes ORDER BY app, task LIMIT 1)
            UNION ALL
            SELECT following.* FROM step, LATERAL (
                SELECT app, task FROM lanes WHERE (app, task) > (step.app, step.task) ORDER BY app, task LIMIT 1
            ) AS following
        )
        SELECT wrong.app, wrong.queue, wrong.task
        FROM step,
            LATERAL (SELECT EXISTS (SELECT 1 FROM announced
                                    WHERE announced.app = step.app AND announced.task = step.task)) AS is_known (known),
            LATERAL (SELECT * FROM lanes
                     WHERE lanes.app = step.app AND lanes.task = step.task AND lanes.loadable = NOT known
                     ORDER BY lanes.queue LIMIT p_limit) AS wrong
        ORDER BY wrong.app, wrong.queue LIMIT p_limit
    LOOP
        IF lane.queue <> '' THEN
            PERFORM 1 FROM queues WHERE app = lane.app AND name = lane.queue FOR UPDATE;
        END IF;
        -- Asked again: it may have waited for the queue.
        is_known := EXISTS (SELECT 1 FROM announced WHERE announced.app = lane.app AND announced.task = lane.task);
        UPDATE lanes SET loadable = is_known WHERE app = lane.app AND queue = lane.queue AND task = lane.task;
        IF lane.queue = '' THEN
            opened := opened OR is_known;
        ELSE
            opened := refresh(lane.app, lane.queue) IS NOT NULL OR opened;
        END IF;
        settled := settled + 1;
    END LOOP;
    done := settled < p_limit;
END $$;
