"""Pure records and rules of runs, tasks and queues: no I/O, no clock, standard library only."""
