-- Version 12: lanes are brought in line with what is announced by one at a time. Two at once worked from two states of
-- what was announced: the later writer opened a lane again whose task had been withdrawn meanwhile.

-- Bring up to `p_limit` lanes in line with what is announced; whether that was all, and whether anything was opened.
-- What enqueues at the same moment may not see an announcement, nor be seen by it: the sweep calls this again.
CREATE OR REPLACE FUNCTION settle_announced(p_limit integer, OUT done boolean, OUT opened boolean)
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
