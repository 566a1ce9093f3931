"""Carries out ``push:`` TODOs: the only way anything leaves a run."""

from __future__ import annotations

import asyncio
import json
import re

from mcp_servers.git.program import GitError
from mcp_servers.git.workspace.pushing import push
from mcp_servers.storage.clearing import discard
from orchestrator.agents.workspace import Repository
from orchestrator.executors.agent import Thinking
from orchestrator.executors.task import BELT_SECONDS, Surroundings, as_result
from orchestrator.plan.push_spec import PushSpec
from orchestrator.run_spec import RunSpec
from orchestrator.verification import evidence
from state.commands import Claimed
from state.errors import AtlasError
from state.ports import Blockage, Failure, Reporter, Result, Worked
from state.tables import Run

_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")
_NAME_CHARACTERS = 40


def branch_of(name: str, run: str) -> str:
    """A run's branch, by its name and the end of its id."""
    readable = _UNFIT.sub("-", name)[:_NAME_CHARACTERS].strip("-.") or "run"
    return f"atlas/{readable}-{run[-8:]}"


class PushExecutor:
    """`state.ports.Executor` for kind ``push``."""

    def __init__(self, around: Surroundings, thinking: Thinking) -> None:
        self._around = around
        self._thinking = thinking

    async def execute(self, claim: Claimed, report: Reporter) -> Result:
        around = self._around
        row = await around.store.read(lambda session: session.get_one(Run, claim.run))
        run, spec = RunSpec.from_json(row.spec), PushSpec.from_json(claim.document)
        if claim.provenance != "person":
            return Blockage("input", "only a run that a person submitted may push")
        if run.repository is None:
            return Blockage("input", "the run has no repository to push from; give the plan a `repo`")
        scratch = around.work / f"{claim.todo}-{claim.fence}"
        scratch.mkdir(parents=True, mode=0o700)
        try:
            async with asyncio.timeout(claim.timeout + BELT_SECONDS):
                repository = await Repository.open(
                    claim.run, run.repository, around.store, around.artifacts, self._thinking.repositories
                )
                _, head = await repository.head()
                sent = await push(
                    repository.here, head, pinned=run.repository.oid, source=run.repository.source, remote=spec.remote,
                    branch=spec.branch or branch_of(row.name, claim.run), scratch=scratch,
                )  # fmt: skip
        except TimeoutError:
            return Failure("timeout", f"not pushed within {claim.timeout:g} s")
        except GitError as error:
            return Failure("push", str(error))
        except AtlasError as error:
            return as_result(error)
        finally:
            await asyncio.to_thread(discard, scratch)
        item = json.dumps({"push": sent.to, "ref": sent.ref}, ensure_ascii=False)
        told = f"{sent.to} has {sent.ref} at {sent.oid}"
        found = evidence(item, True, None, None, told, sent.oid, f"remote {sent.to}", 0.0)
        found.subject = f"git:{sent.oid}"
        return Worked([found])
