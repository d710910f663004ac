"""Which version of each module is in use: the new one where it works, else its last good one. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace

from runner.catalog.discovery import Discovery, ModuleProblem
from runner.catalog.history import Version
from runner.domain.run import TaskError


@dataclass(frozen=True, slots=True)
class Choice:
    """The versions in use, and what is wrong."""

    versions: Mapping[str, Version]
    problems: Mapping[str, ModuleProblem]


def choose(found: Discovery, code: str, last_good: Mapping[str, Version]) -> Choice:
    """Choose for each module that the snapshot `code` has.

    A name that several modules claim stays with the one that had it; the others step back to their last good versions,
    and all of them where none had it. Last good versions were in use together, so they do not clash with one another.
    """
    versions = {module: Version(code, found.files[module], tasks) for module, tasks in found.manifests.items()}
    problems: dict[str, ModuleProblem] = {}

    def step_back(problem: ModuleProblem) -> None:
        module = problem.module
        versions.pop(module, None)
        if module in last_good:
            versions[module] = last_good[module]
        problems[module] = replace(problem, kept=module in last_good)

    for problem in found.problems.values():
        step_back(problem)
    unread = tuple(f"{problem.file}/" for problem in problems.values())  # for folders
    versions |= {
        module: version
        for module, version in last_good.items()
        if module not in found.files and version.file.startswith(unread)
    }
    while clash := _first_clash(versions):
        name, modules = clash
        files = " and in ".join(versions[module].file for module in modules)
        message = f"two tasks are named {name}: in {files}; rename one"
        claiming = [module for module in modules if not _had(last_good.get(module), name)]
        fresh = [module for module in claiming or modules if module not in problems]
        for module in fresh:
            error = TaskError(type="TasksFolderError", message=message, traceback="")
            step_back(ModuleProblem(module=module, file=found.files[module], error=error))
        for module in modules if not fresh else ():
            versions.pop(module)  # not to be expected, but never two of one name
            problems[module] = replace(problems[module], kept=False)
    return Choice(versions, problems)


def _had(version: Version | None, name: str) -> bool:
    return version is not None and any(task.name == name for task in version.tasks)


def _first_clash(versions: Mapping[str, Version]) -> tuple[str, list[str]] | None:
    owners: dict[str, list[str]] = defaultdict(list)
    for module in sorted(versions):
        for task in versions[module].tasks:
            owners[task.name].append(module)
    return next(((name, modules) for name, modules in owners.items() if len(modules) > 1), None)
