"""Programs that stand in for SLURM's: jobs are processes, all of which begin at once.

``$FAKE_SLURM`` has of every job ID.sh, what was submitted; ID.task, the process of its step; and
ID.state, where a test writes what sacct is to say.
"""

from pathlib import Path

import pytest

PROGRAMS = {
    "sbatch": """
grep -q 'partition=full' "$1" && { echo 'sbatch: error: invalid partition' >&2; exit 1; }
id=$(($(ls "$FAKE_SLURM" | grep -c 'sh$') + 1))
cp "$1" "$FAKE_SLURM/$id.sh"
SLURM_JOB_ID=$id setsid bash "$FAKE_SLURM/$id.sh" > /dev/null 2>&1 &
echo "Submitted batch job $id"
""",
    "srun": """
echo $$ > "$FAKE_SLURM/$SLURM_JOB_ID.task"
while [ "${1#-}" != "$1" ]; do
  [ "$1" = --output ] && shift
  shift
done
exec "$@"
""",
    "scancel": """
[ "$1" != --signal=TERM ] || kill -TERM "$(cat "$FAKE_SLURM/$2.task")"
""",
    "sacct": """
echo 'JobID|State|NodeList'
for file in "$FAKE_SLURM"/*.sh; do
  id=$(basename "$file" .sh)
  state=RUNNING
  [ -f "$FAKE_SLURM/$id.state" ] && state=$(cat "$FAKE_SLURM/$id.state")
  echo "$id|$state|here"
done
""",
}


def install(path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Puts them where they are found first; returns what $FAKE_SLURM is."""
    programs, jobs = path / "bin", path / "jobs"
    programs.mkdir(parents=True)
    jobs.mkdir()
    for name, text in PROGRAMS.items():
        (programs / name).write_text(f"#!/bin/bash\n{text}")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    monkeypatch.setenv("FAKE_SLURM", str(jobs))
    return jobs
