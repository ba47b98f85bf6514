"""Threads that take turns."""

import threading
import time


def run_together(turns, run, arguments):
    """Run threads that all want a turn before the first has one."""
    threads = [threading.Thread(target=run, args=each) for each in arguments]
    with turns.taken():
        for thread in threads:
            thread.start()
        while len(turns._waiting) < len(threads):
            time.sleep(0.001)
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
