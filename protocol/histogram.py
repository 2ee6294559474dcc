"""Log-linear histogram of microseconds: the same buckets as device/sched/hist.c.

3 sub-bucket bits: values below 8 have a bucket each, above that every octave has 8. 176 buckets reach
2**24 us; larger values count in the last one. n, min, max and sum are exact. Merging is addition.
(The index is HdrHistogram's.) Vectors: protocol/vectors/histogram.json.
"""

SUB_BITS = 3
SUB_BUCKETS = 1 << SUB_BITS
BUCKETS = 176


def bucket_index(value_us: int) -> int:
    """The bucket, 0..175, of a value >= 0."""
    exponent = 0
    while value_us >> exponent >= 2 * SUB_BUCKETS:
        exponent += 1
    if value_us < SUB_BUCKETS:
        return value_us
    return min((exponent + 1 << SUB_BITS) + (value_us >> exponent) - SUB_BUCKETS, BUCKETS - 1)


def bucket_lower(index: int) -> int:
    """The smallest value of a bucket."""
    if index < SUB_BUCKETS:
        return index
    return (index & SUB_BUCKETS - 1) + SUB_BUCKETS << (index >> SUB_BITS) - 1


def bucket_upper(index: int) -> int:
    """The largest value of a bucket, us (the last one also holds everything above)."""
    if index < SUB_BUCKETS:
        return index
    return bucket_lower(index) + (1 << (index >> SUB_BITS) - 1) - 1


class Histogram:
    """Counts a bucket, and exact n, min_us, max_us, sum_us (min and max are 0 while n is 0)."""

    def __init__(self) -> None:
        self.n = 0
        self.min_us = 0
        self.max_us = 0
        self.sum_us = 0
        self.buckets = [0] * BUCKETS

    def add(self, value_us: int) -> None:
        """Count one value >= 0."""
        if self.n == 0 or value_us < self.min_us:
            self.min_us = value_us
        self.max_us = max(self.max_us, value_us)
        self.n += 1
        self.sum_us += value_us
        self.buckets[bucket_index(value_us)] += 1

    def merge(self, other: "Histogram") -> None:
        """Add the other's counts: the same as having counted its values here."""
        if other.n == 0:
            return
        self.min_us = min(self.min_us, other.min_us) if self.n else other.min_us
        self.max_us = max(self.max_us, other.max_us)
        self.n += other.n
        self.sum_us += other.sum_us
        for index in range(BUCKETS):
            self.buckets[index] += other.buckets[index]

    def percentile(self, numerator: int, denominator: int = 100) -> int:
        """The value, us, of rank ceil(n * numerator / denominator): 0 when empty.

        Reports the upper edge of its bucket, never more than the exact maximum: at most 12.5 % too
        much, never too little. percentile(999, 1000) is p99.9.
        """
        rank = max(-(-self.n * numerator // denominator), 1)
        seen = 0
        for index in range(BUCKETS - 1):
            seen += self.buckets[index]
            if seen >= rank:
                return min(bucket_upper(index), self.max_us)
        return self.max_us

    def nonzero(self) -> "list[tuple[int, int]]":
        """(bucket, count) of the buckets in use, ascending."""
        return [(index, count) for index, count in enumerate(self.buckets) if count]
