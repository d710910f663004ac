-- Version 12: a run knows whose run scheduled it, the first of its chain of repeats, and when it was first due.

ALTER TABLE runs
    ADD COLUMN scheduled_by text COLLATE "C" NOT NULL DEFAULT '',  -- the task whose run scheduled it, '' for outside
    ADD COLUMN root text COLLATE "C",  -- the first run of its chain of repeats, NULL where that is itself
    ADD COLUMN first_due_at bigint;  -- set once `due_at` is that of a later attempt

UPDATE runs SET scheduled_by = parents.task FROM runs AS parents
WHERE runs.parent IS NOT NULL AND parents.app = runs.app AND parents.id = runs.parent
    AND (runs.idempotency_key IS NOT NULL OR runs.ready IS NOT NULL);
-- Nobody was told of a root before: that a repeat of a repeat takes the run before it for the first harms nobody.
UPDATE runs SET root = replay_of WHERE replay_of IS NOT NULL;

-- A key counts for each task that schedules, and for all of outside together.
DROP INDEX runs_idempotency;
CREATE UNIQUE INDEX runs_idempotency ON runs (app, task, scheduled_by, idempotency_key)
WHERE idempotency_key IS NOT NULL;
-- To count what one task has waiting.
CREATE INDEX runs_waiting_by ON runs (app, scheduled_by, queue, task) WHERE ready IS NOT NULL AND scheduled_by <> '';

-- Nobody calls that of version 9 any more.
DROP FUNCTION enqueue(
    text[], text[], text[], text[], text[], smallint[], bigint[], text[], text[], bytea[], text[], text[], text[], text[],
    double precision[], bigint[], bigint[], bigint[], text[], text[], text[], integer[], boolean[], bigint[], text[],
    bigint, bigint, bigint
);

-- Why a task may not add to what waits, as facts, or NULL: a quarter of each limit is kept for runs from outside, and
-- what one task scheduled may be half of it. `p_waiting` is what waits where the limit holds: in the queue, of the task
-- without a queue (`p_queue` is ''), or in all of the app (`p_queue` is NULL).
CREATE FUNCTION share_refused(
    p_app text, p_by text, p_queue text, p_task text, p_waiting bigint, p_limit bigint
) RETURNS json LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    half bigint := greatest(p_limit / 2, 1);
    own bigint;
BEGIN
    IF p_waiting > p_limit - p_limit / 4 THEN
        RETURN json_build_object('share', 'all', 'by', p_by, 'queue', p_queue, 'task', p_task, 'app', p_app);
    END IF;
    IF p_waiting <= half THEN
        RETURN NULL;
    END IF;
    IF p_queue IS NULL THEN
        SELECT count(*) INTO own FROM (
            SELECT 1 FROM runs
            WHERE app = p_app AND scheduled_by = p_by AND scheduled_by <> '' AND ready IS NOT NULL LIMIT half + 1
        ) AS waiting;
    ELSE
        SELECT count(*) INTO own FROM (
            SELECT 1 FROM runs
            WHERE app = p_app AND scheduled_by = p_by AND scheduled_by <> '' AND ready IS NOT NULL AND queue = p_queue
                AND (p_queue <> '' OR task = p_task) LIMIT half + 1
        ) AS waiting;
    END IF;
    IF own > half THEN
        RETURN json_build_object('share', 'own', 'by', p_by, 'queue', p_queue, 'task', p_task, 'app', p_app);
    END IF;
    RETURN NULL;
END $$;

-- As of version 11, whose nodes call it without `scheduled_by` and `root`. It refuses the id of a run that somebody else
-- scheduled, and what a task may not add to what waits.
CREATE OR REPLACE FUNCTION enqueue(
    p_runs json, p_parameters text[],
    q_app text[], q_name text[], q_concurrency integer[], q_strict boolean[], q_interval_us bigint[], q_rate text[],
    p_waiting_per_queue bigint, p_waiting_per_app bigint, p_children_per_run bigint,
    OUT places integer[], OUT opened boolean
) LANGUAGE plpgsql SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    seqs bigint[];
    apps text[];
    tasks text[];  -- of runs without a queue
    has_parents boolean;
    keys text[];
    refused json;
    family record;
    born bigint;
    waiting bigint;
BEGIN
    opened := FALSE;
    IF q_name IS NOT NULL THEN
        PERFORM lock_queues(q_app, q_name, q_concurrency, q_strict, q_interval_us, q_rate);
    END IF;
    WITH fresh AS (
        INSERT INTO runs (
            app, id, task, queue, status, ready, priority, tags, idempotency_key, parameters_digest, parent, replay_of,
            schedule, retry, timeout_s, created_at, due_at, expires_at, scheduled_by, root
        )
        SELECT app, id, task, queue, status, ready, priority, tags, idempotency_key, parameters_digest, parent,
            replay_of, schedule, retry, timeout_s, created_at, due_at, expires_at, coalesce(scheduled_by, ''), root
        FROM json_populate_recordset(NULL::runs, p_runs) WITH ORDINALITY
        ORDER BY ordinality
        ON CONFLICT DO NOTHING
        RETURNING seq, app, task, queue, parent
    )
    SELECT coalesce(array_agg(seq ORDER BY seq), '{}'), array_agg(DISTINCT app),
        array_agg(DISTINCT task) FILTER (WHERE queue = ''), bool_or(parent IS NOT NULL)
    INTO seqs, apps, tasks, has_parents FROM fresh;  -- `seq` is given in the order of the places

    IF cardinality(seqs) < cardinality(p_parameters) THEN
        SELECT json_build_object('place', new.ordinality, 'run', runs.id) INTO refused
        FROM json_populate_recordset(NULL::runs, p_runs) WITH ORDINALITY AS new
        JOIN runs ON runs.app = new.app AND runs.task = new.task
            AND runs.scheduled_by = coalesce(new.scheduled_by, '') AND runs.idempotency_key = new.idempotency_key
        WHERE runs.id <> new.id AND runs.parameters_digest IS DISTINCT FROM new.parameters_digest
        ORDER BY new.ordinality LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'refused' USING ERRCODE = 'IS001', DETAIL = refused;
        END IF;
        SELECT json_build_object('taken', runs.id) INTO refused
        FROM json_populate_recordset(NULL::runs, p_runs) WITH ORDINALITY AS new JOIN runs USING (app, id)
        WHERE runs.task <> new.task OR runs.parent IS DISTINCT FROM new.parent
        ORDER BY new.ordinality LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'refused' USING ERRCODE = 'IS001', DETAIL = refused;
        END IF;
        -- An id that is named twice stands for the first of the two.
        keys := ARRAY(
            SELECT concat_ws(E'\n', app, id, task)
            FROM json_populate_recordset(NULL::runs, p_runs) WITH ORDINALITY ORDER BY ordinality
        );
        places := ARRAY(
            SELECT array_position(keys, concat_ws(E'\n', app, id, task))
            FROM unnest(seqs) AS fresh (seq) JOIN runs USING (seq) ORDER BY seq
        );
        p_parameters := ARRAY(
            SELECT p_parameters[place] FROM unnest(places) WITH ORDINALITY AS fresh (place, number) ORDER BY number
        );
    END IF;
    IF q_name IS NOT NULL THEN
        SELECT count(refresh(app, name)) > 0 INTO opened FROM unnest(q_app, q_name) AS queue (app, name);
    END IF;
    IF cardinality(seqs) = 0 THEN
        RETURN;
    END IF;
    INSERT INTO run_parameters (run, parameters) SELECT * FROM unnest(seqs, p_parameters);

    IF q_name IS NOT NULL THEN
        SELECT json_build_object('queue', lanes.queue) INTO refused
        FROM unnest(q_app, q_name) AS named (app, queue) JOIN lanes USING (app, queue)
        GROUP BY lanes.app, lanes.queue HAVING sum(ready + later) > p_waiting_per_queue
        ORDER BY lanes.app, lanes.queue LIMIT 1;
    END IF;
    IF refused IS NULL THEN
        SELECT json_strip_nulls(json_build_object(
            'task', min(task) FILTER (WHERE task = ANY (tasks) AND runs > p_waiting_per_queue), 'app', app
        )) INTO refused
        FROM (
            SELECT app, task, sum(runs) AS runs FROM totals
            WHERE app = ANY (apps) AND status IN ('scheduled', 'queued', 'retrying', 'waiting') GROUP BY app, task
        ) AS lane
        GROUP BY app
        HAVING sum(runs) > p_waiting_per_app OR bool_or(task = ANY (tasks) AND runs > p_waiting_per_queue)
        ORDER BY app LIMIT 1;
    END IF;
    IF refused IS NULL AND has_parents THEN
        FOR family IN
            SELECT app, parent, count(*) AS more FROM unnest(seqs) AS fresh (seq) JOIN runs USING (seq)
            WHERE parent IS NOT NULL GROUP BY app, parent ORDER BY app, parent
        LOOP
            UPDATE runs SET children = children + family.more
            WHERE app = family.app AND id = family.parent RETURNING children INTO born;
            IF born > p_children_per_run THEN
                refused := json_build_object('parent', family.parent);
                EXIT;
            END IF;
        END LOOP;
    END IF;
    IF refused IS NULL AND has_parents THEN
        FOR family IN
            SELECT DISTINCT app, scheduled_by, queue, CASE queue WHEN '' THEN task ELSE '' END AS task
            FROM unnest(seqs) AS fresh (seq) JOIN runs USING (seq) WHERE scheduled_by <> ''
        LOOP
            SELECT sum(runs) INTO waiting FROM totals
            WHERE app = family.app AND status IN ('scheduled', 'queued', 'retrying', 'waiting');
            refused := share_refused(family.app, family.scheduled_by, NULL, NULL, waiting, p_waiting_per_app);
            EXIT WHEN refused IS NOT NULL;
            IF family.queue = '' THEN
                SELECT sum(runs) INTO waiting FROM totals
                WHERE app = family.app AND task = family.task
                    AND status IN ('scheduled', 'queued', 'retrying', 'waiting');
            ELSE
                SELECT sum(ready + later) INTO waiting FROM lanes WHERE app = family.app AND queue = family.queue;
            END IF;
            refused := share_refused(
                family.app, family.scheduled_by, family.queue, family.task, waiting, p_waiting_per_queue
            );
            EXIT WHEN refused IS NOT NULL;
        END LOOP;
    END IF;
    IF refused IS NOT NULL THEN
        RAISE EXCEPTION 'refused' USING ERRCODE = 'IS001', DETAIL = refused;
    END IF;
END $$;

-- As of version 5, and a run keeps the instant at which it was first due.
CREATE OR REPLACE FUNCTION finish(
    p_app text, p_id text, p_number integer, p_token text, p_status text, p_failures integer, p_losses integer,
    p_due_at bigint, p_finished_at bigint, p_reason text, p_why text, p_result text, p_error text, p_exit_code integer,
    p_signal integer, p_peak_memory_bytes bigint, p_cpu_time_s double precision, p_sandbox text, p_code text
) RETURNS SETOF runs LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    ended runs%ROWTYPE;
    is_final boolean;
BEGIN
    SELECT * INTO ended FROM runs WHERE app = p_app AND id = p_id;
    IF ended.queue <> '' THEN
        PERFORM 1 FROM queues WHERE app = p_app AND name = ended.queue FOR UPDATE;
    END IF;
    SELECT * INTO ended FROM runs WHERE app = p_app AND id = p_id FOR UPDATE;
    UPDATE attempts SET finished_at = p_finished_at, reason = p_reason, why = p_why, exit_code = p_exit_code,
        signal = p_signal, peak_memory_bytes = p_peak_memory_bytes, cpu_time_s = p_cpu_time_s, sandbox = p_sandbox,
        code = p_code
    WHERE run = ended.seq AND number = p_number AND token = p_token AND finished_at IS NULL;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF ended.cancel_requested_at IS NOT NULL AND p_status IN ('scheduled', 'queued', 'retrying', 'waiting') THEN
        p_status := 'cancelled';  -- asked for while the verdict was on its way
    END IF;
    is_final := p_status IN ('succeeded', 'failed', 'cancelled');
    IF p_result IS NOT NULL OR p_error IS NOT NULL THEN
        INSERT INTO run_responses (run, result, error) VALUES (ended.seq, p_result, p_error)
        ON CONFLICT (run) DO UPDATE SET result = excluded.result, error = excluded.error;
    ELSE
        UPDATE run_responses SET result = NULL, error = NULL WHERE run = ended.seq AND error IS NOT NULL;
    END IF;
    RETURN QUERY UPDATE runs SET status = p_status, reason = p_reason, why = p_why, failures = p_failures,
        losses = p_losses,
        ready = CASE WHEN is_final THEN NULL
            WHEN p_status = 'queued' OR coalesce(p_due_at <= p_finished_at, TRUE) THEN 1 ELSE 0 END,
        first_due_at = CASE WHEN is_final OR p_due_at IS NULL THEN first_due_at ELSE coalesce(first_due_at, due_at) END,
        due_at = CASE WHEN is_final THEN due_at ELSE coalesce(p_due_at, due_at) END,
        finished_at = CASE WHEN is_final THEN p_finished_at END
    WHERE seq = ended.seq RETURNING *;
    IF ended.queue <> '' THEN
        PERFORM free_slot(p_app, ended.queue, ended.seq, p_status);
        PERFORM refresh(p_app, ended.queue);
    END IF;
END $$;
