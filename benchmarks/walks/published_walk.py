"""Batches a second of the walk as published: THUDM/BatchSampler's algorithm in plain Python sets, written anew.

    python3 published_walk.py INSTANCES BATCHES [RESTART]

Random neighbor lists with K = 100, B = 256. For each batch a start is drawn from the instances that no walk came to yet,
which are found by a difference of sets; then the walk goes to a random neighbor, or with the restart probability to the
start, until it has met B distinct instances. Measured are the first BATCHES of an epoch, in seconds of this thread.
"""

import random
import sys
import time

BATCH_SIZE, NEIGHBORS = 256, 100
instances, batches = int(sys.argv[1]), int(sys.argv[2])
restart = float(sys.argv[3]) if len(sys.argv) > 3 else 0.1

random.seed(1)
neighbors = [[random.randrange(instances) for _ in range(NEIGHBORS)] for _ in range(instances)]
everybody = dict.fromkeys(range(instances))
walked = []
begun = time.thread_time()
for _ in range(batches):
    start = random.choice(list(set(everybody.keys()) - set(walked)))
    at, batch = start, {start}
    while len(batch) < BATCH_SIZE:
        at = start if random.random() < restart else random.choice(neighbors[at])
        batch.add(at)
    walked.extend(batch)
seconds = time.thread_time() - begun
print(f"{instances} published {batches / seconds:.1f} batches/s")
