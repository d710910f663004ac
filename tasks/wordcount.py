"""Counts the words of a folder of texts: `isolane schedule wordcount.split --wait`.

`split` schedules one `count` for each text; they run in parallel, as far as there is room. Each `count` that succeeds
schedules a `merge`, in the same commit as its success, so that a text is merged once or, after a crash, counted again.
All merges go through one queue, so no two of them ever read and write the report at the same time. `split` waits for
all of it, and while it waits it gives back its slot.
"""

import json
from pathlib import Path

from runner import Context, getRun, scheduleTask, scheduleTasks, task
from tasks._words import count_words, list_texts

REPORTS = Path("/data/reports")


@task(memory="256MB", description="Count the words of every text, into a report of its own")
def split(parameters, context: Context):
    report = f"words-{context.run}.json"
    counts = scheduleTasks([{"task": count, "parameters": {"text": text, "report": report}} for text in list_texts()])
    merges = [getRun(counted.result()["merge"]) for counted in counts]
    merged = [merge.result() for merge in merges]
    return {"report": report, "texts": len(merged), "most": max(merged, key=lambda each: each["words"])["most"]}


@task(memory="256MB")
def count(parameters):
    words = count_words(parameters["text"])
    print(f"{parameters['text']}: {words.total()} words, {len(words)} different")
    merging = scheduleTask(merge, {**parameters, "words": dict(words)}, with_success=True)
    return {"words": words.total(), "merge": merging.id}


@task(queue="wordcount.merge", memory="256MB")
def merge(parameters):
    path = REPORTS / parameters["report"]
    report = json.loads(path.read_text()) if path.exists() else {"texts": {}, "words": {}}
    # At least once: a merge that was killed after it had written finds its own text already in the report.
    if parameters["text"] not in report["texts"]:
        report["texts"][parameters["text"]] = sum(parameters["words"].values())
        for word, number in parameters["words"].items():
            report["words"][word] = report["words"].get(word, 0) + number
        draft = path.with_suffix(".draft")
        draft.write_text(json.dumps(report))
        draft.rename(path)
    print(f"merged {parameters['text']}: {len(report['texts'])} texts so far")
    most = sorted(report["words"].items(), key=lambda item: (-item[1], item[0]))[:5]
    return {"words": sum(report["texts"].values()), "most": dict(most)}
