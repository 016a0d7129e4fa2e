"""Processes and the machine: starting, stopping, what they use, and which programs there are.

Everything is started with `setpriv --pdeathsig`, so it ends with this script however the script ends.
"""

import os
import shutil
import signal
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
TICKS = os.sysconf("SC_CLK_TCK")


class Stop(Exception):
    """Why nothing can be measured; the message is for the person at the terminal."""


def require(programs):
    """Stops unless all of these Debian packages' programs are on the machine."""
    missing = [package for program, package in programs.items() if not shutil.which(program)]
    if missing:
        raise Stop(f"missing, by the names of Debian's packages: {' '.join(sorted(set(missing)))}")


def release_program(name, folder, accept_stale):
    """The path of a release build of the present sources, and whether a source is newer than it."""
    program = folder / name
    advice = "cargo build --release -p server -p importer"
    if not program.exists():
        raise Stop(f"{program} is not there: {advice}")
    listed = program.with_suffix(".d")
    if folder.name != "release" or not listed.exists():
        raise Stop(f"{program} is not a release build by Cargo: {advice}")
    sources = listed.read_text().splitlines()[0].split(": ", 1)[1].split(" ")
    built = program.stat().st_mtime
    newer = [source for source in sources if Path(source).is_file() and Path(source).stat().st_mtime > built]
    if newer and not accept_stale:
        raise Stop(f"{program} is older than {newer[0]}: {advice} (or --stale, and the table says so)")
    return program, bool(newer)


def start(arguments, **options):
    """Starts a program that ends with this one; `KOHORTA_*` and `DATABASE_URL` of ours are kept from it."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("KOHORTA_") and k != "DATABASE_URL"}
    command = ["setpriv", "--pdeathsig=KILL", *map(str, arguments)]
    return subprocess.Popen(command, env=clean, stdin=options.pop("stdin", subprocess.DEVNULL), **options)


def run(arguments, **options):
    """Runs a program to its end and returns what it wrote; stops if it fails."""
    process = start(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    output, errors = process.communicate()
    if process.returncode != 0:
        raise Stop(f"{' '.join(map(str, arguments))[:200]} failed: {errors.decode()[-2000:]}")
    return output.decode()


def end(process, how=signal.SIGTERM):
    """Ends a process and waits; a second time with SIGKILL if it does not listen."""
    if process.poll() is None:
        process.send_signal(how)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()


def cpu_seconds(process_id, with_children=False):
    """User and system time so far; with children, also of those that run and those that have ended."""
    while True:
        fields = stat(process_id)
        if not with_children:
            return ticks(fields[11:13])
        running = sum(ticks(child[11:13]) for child in map(stat_or_none, every_process()) if child and int(child[1]) == process_id)
        # What a child took counts for its parent from its end on, so none may have ended meanwhile.
        if stat(process_id)[13:15] == fields[13:15]:
            return ticks(fields[11:15]) + running


def ticks(fields):
    return sum(map(int, fields)) / TICKS


def stat(process_id):
    """What `/proc/PID/stat` says after the name."""
    return Path(f"/proc/{process_id}/stat").read_text().rsplit(")", 1)[1].split()


def stat_or_none(process_id):
    """As `stat`, for a process that may have ended since it was listed."""
    try:
        return stat(process_id)
    except (FileNotFoundError, ProcessLookupError):
        return None


def every_process():
    return [path.name for path in Path("/proc").iterdir() if path.name.isdigit()]


def resident_mb(process_id):
    """Resident memory in MB (10^6 bytes)."""
    status = Path(f"/proc/{process_id}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024 / 1e6


def describe():
    """The machine and the commit, as lines for the report."""
    model = next((line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), "unknown processor")
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / 2**20
    git = lambda *arguments: subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True).stdout.strip()
    changed = bool(git("status", "--porcelain", "--untracked-files=no", "--", "*.rs", "Cargo.toml", "Cargo.lock"))
    return {
        "machine": f"{os.cpu_count()} cores ({model}), {memory:.0f} GiB, Linux {os.uname().release}",
        "commit": (git("rev-parse", "--short=10", "HEAD") or "unknown") + (" with uncommitted changes" if changed else ""),
    }
