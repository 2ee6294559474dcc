"""The rules of Chrome's "Trace Event Format" that a trace must keep to open in Perfetto as it is meant."""

from collections import defaultdict

PHASES = {"X": {"name", "cat", "pid", "tid", "ts", "dur"}, "i": {"name", "pid", "tid", "ts", "s"}}
PHASES |= {"C": {"name", "pid", "ts", "args"}, "M": {"name", "pid", "args"}}
METADATA = {"process_name": "name", "thread_name": "name", "thread_sort_index": "sort_index"}


def check_trace(events):
    """The trace-event format's rules: fields of each phase, numbers, and slices of a thread that nest."""
    slices = defaultdict(list)
    for event in events:
        assert PHASES[event["ph"]] <= set(event), event
        for key in ("pid", "tid", "ts", "dur"):
            assert isinstance(event.get(key, 0), int) and event.get(key, 0) >= 0, event
        if event["ph"] == "i":
            assert event["s"] in "gpt"
        if event["ph"] == "C":
            assert all(isinstance(value, int) for value in event["args"].values())
        if event["ph"] == "M":
            assert METADATA[event["name"]] in event["args"]
        if event["ph"] == "X":
            slices[event["pid"], event["tid"]].append((event["ts"], event["ts"] + event["dur"]))
    for rows in slices.values():
        open_until = []
        for start, end in sorted(rows, key=lambda row: (row[0], -row[1])):
            while open_until and open_until[-1] <= start:
                open_until.pop()
            assert not open_until or end <= open_until[-1], (start, end, open_until[-1])
            open_until.append(end)
    return slices
