"""What people may write, one line for each: options of tasks and of calls, keys of queues, filters of runs."""
