-- Version 9: storing new runs is one statement, and so a transaction by itself.

-- Store the runs that are not stored yet: `places` says which of them these are, counted from 1. The `q_…` are the
-- queues that they name, with their rules. A call that is refused raises IS001, with the facts as JSON in its detail.
CREATE FUNCTION enqueue(
    p_app text[], p_id text[], p_task text[], p_queue text[], p_status text[], p_ready smallint[], p_priority bigint[],
    p_tags text[], p_idempotency_key text[], p_parameters_digest bytea[], p_parent text[], p_replay_of text[],
    p_schedule text[], p_retry text[], p_timeout_s double precision[], p_created_at bigint[], p_due_at bigint[],
    p_expires_at bigint[], p_parameters text[],
    q_app text[], q_name text[], q_concurrency integer[], q_strict boolean[], q_interval_us bigint[], q_rate text[],
    p_waiting_per_queue bigint, p_waiting_per_app bigint, p_children_per_run bigint,
    OUT places integer[], OUT opened boolean
) LANGUAGE plpgsql SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    seqs bigint[];
    keys text[];
    refused json;
    family record;
    born bigint;
BEGIN
    IF cardinality(q_name) > 0 THEN
        PERFORM lock_queues(q_app, q_name, q_concurrency, q_strict, q_interval_us, q_rate);
    END IF;
    WITH fresh AS (
        INSERT INTO runs (
            app, id, task, queue, status, ready, priority, tags, idempotency_key, parameters_digest, parent, replay_of,
            schedule, retry, timeout_s, created_at, due_at, expires_at
        )
        SELECT app, id, task, queue, status, ready, priority, tags, idempotency_key, parameters_digest, parent,
            replay_of, schedule, retry, timeout_s, created_at, due_at, expires_at
        FROM unnest(
            p_app, p_id, p_task, p_queue, p_status, p_ready, p_priority, p_tags, p_idempotency_key, p_parameters_digest,
            p_parent, p_replay_of, p_schedule, p_retry, p_timeout_s, p_created_at, p_due_at, p_expires_at
        ) WITH ORDINALITY AS new (
            app, id, task, queue, status, ready, priority, tags, idempotency_key, parameters_digest, parent, replay_of,
            schedule, retry, timeout_s, created_at, due_at, expires_at, place
        )
        ORDER BY place
        ON CONFLICT DO NOTHING
        RETURNING seq
    )
    SELECT coalesce(array_agg(seq ORDER BY seq), '{}') INTO seqs FROM fresh;  -- given in the order of the places

    IF cardinality(seqs) = cardinality(p_id) THEN
        places := ARRAY(SELECT generate_series(1, cardinality(seqs)));
    ELSE
        SELECT json_build_object('place', new.place, 'run', runs.id) INTO refused
        FROM unnest(p_app, p_id, p_task, p_idempotency_key, p_parameters_digest)
            WITH ORDINALITY AS new (app, id, task, key, digest, place)
        JOIN runs ON runs.app = new.app AND runs.task = new.task AND runs.idempotency_key = new.key
        WHERE runs.id <> new.id AND runs.parameters_digest IS DISTINCT FROM new.digest
        ORDER BY new.place LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'refused' USING ERRCODE = 'IS001', DETAIL = refused;
        END IF;
        -- An id that is named twice stands for the first of the two.
        keys := ARRAY(
            SELECT concat_ws(E'\n', app, id, task)
            FROM unnest(p_app, p_id, p_task) WITH ORDINALITY AS new (app, id, task, place) ORDER BY place
        );
        places := ARRAY(
            SELECT array_position(keys, concat_ws(E'\n', app, id, task))
            FROM unnest(seqs) AS fresh (seq) JOIN runs USING (seq) ORDER BY seq
        );
        p_parameters := ARRAY(
            SELECT p_parameters[place] FROM unnest(places) WITH ORDINALITY AS fresh (place, number) ORDER BY number
        );
    END IF;
    SELECT count(refresh(app, name)) > 0 INTO opened FROM unnest(q_app, q_name) AS queue (app, name);
    IF cardinality(seqs) = 0 THEN
        RETURN;
    END IF;
    INSERT INTO run_parameters (run, parameters) SELECT * FROM unnest(seqs, p_parameters);

    SELECT json_build_object('queue', lanes.queue) INTO refused
    FROM unnest(q_app, q_name) AS named (app, queue) JOIN lanes USING (app, queue)
    GROUP BY lanes.app, lanes.queue HAVING sum(ready + later) > p_waiting_per_queue
    ORDER BY lanes.app, lanes.queue LIMIT 1;
    IF refused IS NULL THEN
        SELECT json_build_object('task', totals.task) INTO refused
        FROM (SELECT DISTINCT app, task FROM unnest(p_app, p_task, p_queue) AS new (app, task, queue) WHERE queue = '')
            AS named JOIN totals USING (app, task)
        WHERE totals.status IN ('scheduled', 'queued', 'retrying', 'waiting')
        GROUP BY totals.app, totals.task HAVING sum(runs) > p_waiting_per_queue
        ORDER BY totals.app, totals.task LIMIT 1;
    END IF;
    IF refused IS NULL THEN
        SELECT json_build_object('app', totals.app) INTO refused
        FROM (SELECT DISTINCT app FROM unnest(p_app) AS new (app)) AS named JOIN totals USING (app)
        WHERE totals.status IN ('scheduled', 'queued', 'retrying', 'waiting')
        GROUP BY totals.app HAVING sum(runs) > p_waiting_per_app
        ORDER BY totals.app LIMIT 1;
    END IF;
    IF refused IS NULL AND cardinality(array_remove(p_parent, NULL)) > 0 THEN
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
