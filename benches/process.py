#!/usr/bin/env python3
"""Runs a command and prints its wall clock time and its largest resident set: {"seconds", "megabytes", "stdout"}.

A program of its own, without imports of any size: Linux counts the memory of whoever starts a process into the
child's peak.
"""

import json
import os
import subprocess
import sys
import time


def main():
    begun = time.perf_counter()
    child = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, text=True)
    stdout = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - begun
    if status:
        sys.exit(f"{sys.argv[1]} ended with status {os.waitstatus_to_exitcode(status)}")
    unit = 1 if sys.platform == "darwin" else 1024
    print(json.dumps({"seconds": seconds, "megabytes": usage.ru_maxrss * unit / 1e6, "stdout": stdout}))


if __name__ == "__main__":
    main()
