"""Holds a running server against its own OpenAPI description with schemathesis: every check it has, over every
operation, with data that is right and data that is wrong. Beside it two others use the server: one ends what takes
long, so that orders come, are made and end all the time; one listens to all events."""
import argparse
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

from serving import server

HERE = pathlib.Path(__file__).resolve().parent
# Two checks know another kind of API. Here what is deleted is in the trash until it is deleted forever, and a job that was
# cancelled stays in the list; and a check's page is there when the check has ended, a preview while the job runs.
OTHERWISE = "use_after_free,ensure_resource_availability"
# An endless answer: schemathesis would wait for its end. The listener below reads it all the time.
ENDLESS = "/api/v1/events"


def ask(url, method="GET"):
    with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=60) as answer:
        return json.load(answer)


def end_slow(url, process, longest, stop, seen):
    """Ends each job that has run for longer than `longest` seconds, and each check: those hold the queue for minutes,
    in processes of their own."""
    children = pathlib.Path("/proc", str(process.pid), "task")
    while not stop.wait(longest):
        with contextlib.suppress(OSError):
            for job in ask(url + "/api/v1/jobs?state=running")["jobs"]:
                if job["progress"]["seconds"] > longest:
                    ask(f"{url}/api/v1/jobs/{job['id']}", "DELETE")
        for child in {pid for thread in children.glob("*/children") for pid in thread.read_text().split()}:
            with contextlib.suppress(OSError):
                os.kill(int(child), signal.SIGTERM)
            seen["checks ended"] = seen.get("checks ended", 0) + 1


def listen(url, stop, seen):
    with contextlib.suppress(OSError), urllib.request.urlopen(url + ENDLESS, timeout=60) as stream:
        for line in stream:
            if line.startswith(b"event: "):
                kind = line[7:].strip().decode()
                seen[kind] = seen.get(kind, 0) + 1
            if stop.is_set():
                return


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mebi", default="build/mebi")
    parser.add_argument("--model", default="models/mini")
    parser.add_argument("--seconds", type=int, default=600, help="how long; 0: one pass of each phase")
    parser.add_argument("--longest", type=float, default=0.5, help="seconds that a job may run")
    parser.add_argument("rest", nargs="*", help="options for `schemathesis run`, behind --")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as reports, server(
            arguments.mebi, arguments.model, "--queue-limit", "8", "--budget", "300M") as (url, process):
        stop, seen = threading.Event(), {}
        for beside in ((end_slow, url, process, arguments.longest, stop, seen), (listen, url, stop, seen)):
            threading.Thread(target=beside[0], args=beside[1:], daemon=True).start()
        code = subprocess.run(
            [pathlib.Path(sys.executable).parent / "schemathesis", "--config-file", HERE / "schemathesis.toml",
             "run", url + "/api/openapi.json", "--url", url, "--checks", "all", "--exclude-checks", OTHERWISE,
             "--exclude-path", ENDLESS, "--request-timeout", "120", "--max-response-time", "60",
             *(["--max-time", str(arguments.seconds)] if arguments.seconds else []), *arguments.rest],
            cwd=reports).returncode
        stop.set()
        lives = process.poll() is None and ask(url + "/healthz")["status"] == "ok"
        print("events:", ", ".join(f"{n} {k}" for k, n in sorted(seen.items())))
        print("the server", "is well" if lives else "IS NOT WELL")
    return code or not lives


if __name__ == "__main__":
    sys.exit(main())
