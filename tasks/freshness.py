"""A periodic task: says once an hour how old the newest report is."""

import time
from pathlib import Path

from runner import task


@task(every="1h", overlap="skip", memory="128MB", description="How old is the newest report?")
def freshness():
    reports = list(Path("/data/reports").glob("*.json"))
    if not reports:
        print("there is no report yet")
        return {"reports": 0}
    newest = max(reports, key=lambda report: report.stat().st_mtime)
    age_s = round(time.time() - newest.stat().st_mtime)
    print(f"{newest.name} is {age_s} s old")
    return {"reports": len(reports), "newest": newest.name, "age_s": age_s}
