-- Version 11: storing a run takes the database and its caller less work.

-- As of version 6, without the statements that find nothing to do.
CREATE OR REPLACE FUNCTION count_inserted() RETURNS trigger LANGUAGE plpgsql AS $$
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

-- Store the runs that are not stored yet, as the function of this name of version 9 does, which nodes of that version go
-- on calling: `places` says which of them these are, counted from 1, and nothing where it is all of them. `p_runs` are rows of `runs`, `p_parameters` what
-- belongs to each. The `q_…` are the queues that they name, with their rules, or nothing. A call that is refused raises
-- IS001, with the facts as JSON in its detail.
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
BEGIN
    opened := FALSE;
    IF q_name IS NOT NULL THEN
        PERFORM lock_queues(q_app, q_name, q_concurrency, q_strict, q_interval_us, q_rate);
    END IF;
    WITH fresh AS (
        INSERT INTO runs (
            app, id, task, queue, status, ready, priority, tags, idempotency_key, parameters_digest, parent, replay_of,
            schedule, retry, timeout_s, created_at, due_at, expires_at
        )
        SELECT app, id, task, queue, status, ready, priority, tags, idempotency_key, parameters_digest, parent,
            replay_of, schedule, retry, timeout_s, created_at, due_at, expires_at
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
        JOIN runs USING (app, task, idempotency_key)
        WHERE runs.id <> new.id AND runs.parameters_digest IS DISTINCT FROM new.parameters_digest
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
    IF refused IS NOT NULL THEN
        RAISE EXCEPTION 'refused' USING ERRCODE = 'IS001', DETAIL = refused;
    END IF;
END $$;
