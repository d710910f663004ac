"""Counts the words of a folder of texts: `isolane schedule wordcount.split --wait`.

`split` schedules one `count` for each text; they run in parallel, as far as there is room. Each `count` that succeeds
schedules a `merge`, in the same commit as its success, so that a text is merged once or, after a crash, counted again.
All merges go through one queue, so no two of them ever read and write the report at the same time.
"""

import json
from pathlib import Path

from runner import Context, scheduleTask, scheduleTasks, task
from tasks._words import count_words, list_texts

REPORTS = Path("/data/reports")


@task(description="Start counting every text, into a report of its own")
def split(parameters, context: Context):
    report = f"words-{context.run}.json"
    texts = list_texts()
    counts = [{"task": count, "parameters": {"text": text, "report": report, "texts": len(texts)}} for text in texts]
    scheduleTasks(counts)
    return {"report": report, "texts": texts}


@task(memory="256MB")
def count(parameters):
    words = count_words(parameters["text"])
    print(f"{parameters['text']}: {words.total()} words, {len(words)} different")
    scheduleTask(merge, {**parameters, "words": dict(words)}, with_success=True)
    return {"words": words.total()}


@task(queue="wordcount.merge", memory="256MB")
def merge(parameters):
    path = REPORTS / parameters["report"]
    report = json.loads(path.read_text()) if path.exists() else {"merged": {}, "words": {}}
    # At least once: a merge that was killed after it had written finds its own text already in the report.
    if parameters["text"] not in report["merged"]:
        report["merged"][parameters["text"]] = sum(parameters["words"].values())
        for word, number in parameters["words"].items():
            report["words"][word] = report["words"].get(word, 0) + number
        draft = path.with_suffix(".draft")
        draft.write_text(json.dumps(report))
        draft.rename(path)
    missing = parameters["texts"] - len(report["merged"])
    print(f"merged {parameters['text']}; {missing} to go" if missing else f"the report {path.name} is complete")
    most = sorted(report["words"].items(), key=lambda item: (-item[1], item[0]))[:5]
    return {"missing": missing, "most": dict(most)}
