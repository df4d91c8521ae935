"""W1's like as Celery tasks. The worker imports this; as a program it is the client:

    celery_w1.py answers KIND EVENTS              writes the result of each event in a file of one JSON a line
    celery_w1.py load KIND EVENTS SECONDS BOUND   keeps BOUND executions under way and stops after so many seconds

KIND is `plain` (one task) or `stepwise` (a chain whose steps are messages of their own, as durable as what they begin with).
An execution has ended when its result is in the backend, where the driver counts them.
"""

import itertools
import json
import os
import sys
import threading
import time

import redis
from celery import Celery, chain

BROKER, BACKEND = os.environ["CELERY_BROKER"], os.environ["CELERY_BACKEND"]
CLIENTS = 8
app = Celery("w1", broker=BROKER, backend=BACKEND)
app.conf.update(
    task_acks_late=True,  # a message is given back when its worker dies, so that none is lost
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=64,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
)


def converted(event):
    return {"deviceId": event["deviceId"], "celsius": (event["temperature"] - 32) * 5 / 9}


def judged(reading):
    return {**reading, "level": "high" if reading["celsius"] > 70 else "normal"}


@app.task(name="plain")
def plain(event):
    return judged(converted(event))


@app.task(name="convert", ignore_result=True)
def convert(event):
    return converted(event)


@app.task(name="judge")
def judge(reading):
    return judged(reading)


def begin(kind, event):
    if kind == "plain":
        return plain.delay(event)
    return chain(convert.s(event), judge.s()).apply_async()


def answers(kind, events):
    begun = [begin(kind, event) for event in events]
    for result in begun:
        print(json.dumps(result.get(timeout=30)))


def load(kind, events, seconds, bound):
    """Each thread waits for the broker's disk, so there are several; the results that are there say how many may still begin."""
    backend = redis.Redis.from_url(BACKEND)
    already, room = backend.dbsize(), threading.Semaphore(bound)
    numbers, end = itertools.count(), time.monotonic() + seconds

    def client():
        while room.acquire(timeout=end - time.monotonic()) and time.monotonic() < end:
            begin(kind, events[next(numbers) % len(events)])

    clients = [threading.Thread(target=client, daemon=True) for _ in range(CLIENTS)]
    for thread in clients:
        thread.start()
    ended = 0
    while time.monotonic() < end:
        time.sleep(0.01)
        now = backend.dbsize() - already
        if now > ended:
            room.release(now - ended)
        ended = now


if __name__ == "__main__":
    with open(sys.argv[3]) as lines:
        given = [json.loads(line) for line in lines]
    if sys.argv[1] == "answers":
        answers(sys.argv[2], given)
    else:
        load(sys.argv[2], given, float(sys.argv[4]), int(sys.argv[5]))
