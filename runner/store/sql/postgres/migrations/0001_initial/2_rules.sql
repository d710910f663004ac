-- What the database itself sees to: what may follow what, and one at a time.

CREATE FUNCTION check_beginning() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM copying) THEN
        RAISE EXCEPTION 'a run begins as scheduled or queued' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER runs_begin BEFORE INSERT ON runs FOR EACH ROW WHEN (NEW.status NOT IN ('scheduled', 'queued'))
EXECUTE FUNCTION check_beginning();

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

-- No lane counts a final run any more.
CREATE FUNCTION refuse_deletion() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'only a final run can be deleted' USING ERRCODE = 'check_violation';
END $$;

CREATE TRIGGER runs_end BEFORE DELETE ON runs FOR EACH ROW WHEN (OLD.finished_at IS NULL)
EXECUTE FUNCTION refuse_deletion();
