# Prints what the readers of histogram.py and stats.py make of their vectors. Runs on CPython and
# MicroPython from the project's root: the lines must be identical.
import json
from binascii import hexlify, unhexlify

from protocol import stats
from protocol.histogram import Histogram, bucket_index, bucket_lower, bucket_upper

with open("protocol/vectors/histogram.json") as f:
    vector = json.load(f)
wrong = 0
for value, bucket in vector["index"]:
    wrong += bucket_index(value) != bucket
for bucket, upper in enumerate(vector["edges"]):
    wrong += bucket_upper(bucket) != upper or bucket_index(bucket_lower(bucket)) != bucket
print("buckets wrong", wrong)
for case in vector["cases"]:
    h = Histogram()
    other = Histogram()
    for number, value in enumerate(case["values"]):
        (other if number % 2 else h).add(value)
    h.merge(other)
    percentiles = [[a, b, h.percentile(a, b)] for a, b, _ in case["percentiles"]]
    print(h.n, h.min_us, h.max_us, h.sum_us, h.nonzero(), percentiles)
    print("wrong", percentiles != case["percentiles"])

with open("protocol/vectors/stats.json") as f:
    vector = json.load(f)
s = stats.unpack_stats(unhexlify(vector["stats"]["bytes"]))
print(tuple(s)[:-2], s.start.nonzero(), s.start.percentile(50), s.response.n)
print(tuple(stats.unpack_loop(unhexlify(vector["loop"]["bytes"]))))
for r in stats.unpack_results(unhexlify(vector["results"]["bytes"])):
    print(tuple(r)[:-1], hexlify(r.output).decode())
for e in stats.unpack_events(unhexlify(vector["events"]["bytes"])):
    print(tuple(e), stats.EVENT_KINDS[e.kind])
for kind in ("stats", "loop", "results", "events"):
    refused = vector[kind + "_refused"]
    for why in sorted(refused):
        try:
            getattr(stats, "unpack_" + kind)(unhexlify(refused[why]))
            print(kind, why, "ACCEPTED")
        except stats.StatsError as error:
            print(kind, why, "-", error)
