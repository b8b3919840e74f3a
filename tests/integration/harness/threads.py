"""Actions that run at the same time."""

import threading


def together(actions):
    """Runs each in a thread of its own; raises the first fault after all have ended."""
    faults = []

    def guarded(action):
        try:
            action()
        except BaseException as fault:  # noqa: BLE001 - raised again below
            faults.append(fault)

    threads = [threading.Thread(target=guarded, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]
