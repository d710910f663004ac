-- Storing new runs: one statement, and so a transaction by itself.

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

-- Store the runs that are not stored yet: `places` says which of them these are, counted from 1, and nothing where it is
-- all of them. `p_runs` are rows of `runs`, `p_parameters` what belongs to each. The `q_…` are the queues that they name,
-- with their rules, or nothing. A call that is refused raises IS001, with the facts as JSON in its detail.
CREATE FUNCTION enqueue(
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
            schedule, retry, timeout_s, created_at, due_at, delay_us, expires_at, scheduled_by, root
        )
        SELECT app, id, task, queue, status, ready, priority, tags, idempotency_key, parameters_digest, parent,
            replay_of, schedule, retry, timeout_s, created_at, due_at, delay_us, expires_at, scheduled_by, root
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
            AND runs.scheduled_by = new.scheduled_by AND runs.idempotency_key = new.idempotency_key
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
        SELECT json_build_object('app', lanes.app, 'queue', lanes.queue) INTO refused
        FROM unnest(q_app, q_name) AS named (app, queue) JOIN lanes USING (app, queue)
        GROUP BY lanes.app, lanes.queue HAVING sum(ready + later) > p_waiting_per_queue
        ORDER BY lanes.app, lanes.queue LIMIT 1;
    END IF;
    IF refused IS NULL THEN
        SELECT json_build_object(
            'app', app, 'task', min(task) FILTER (WHERE task = ANY (tasks) AND runs > p_waiting_per_queue)
        ) INTO refused
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
