"""Compares the words of two texts: calls another task for each, and waits for what they answer.

    isolane schedule compare --parameters '{"texts": ["harbour.txt", "bakery.txt"]}' --wait

While it waits it gives back its slot, so it works on a node that runs one attempt at a time, too.
"""

from dataclasses import dataclass, field

from runner import scheduleTask, task
from tasks._words import count_words


@dataclass
class Pair:
    texts: list[str] = field(default_factory=lambda: ["harbour.txt", "bakery.txt"])


@task(name="compare")
async def compare(parameters: Pair):
    handles = [await scheduleTask("compare.vocabulary", {"text": text}) for text in parameters.texts]
    first, second = [set(await handle.aresult(timeout="1m")) for handle in handles]
    return {"shared": sorted(first & second), "only_first": len(first - second), "only_second": len(second - first)}


@task
def vocabulary(parameters):
    return sorted(count_words(parameters["text"]))
