# Prints the verdict of every admission vector. Runs on CPython and MicroPython from the project's root:
# the lines must be identical. Then random sets from a fixed generator, the same on both.
import json

from protocol.admission import admit, inflate, op_limit

with open("protocol/vectors/admission.json") as f:
    cases = json.load(f)["cases"]

wrong = 0
for case in cases:
    tasks = [tuple(task) for task in case["tasks"]]
    verdict = list(admit(tasks))
    wrong += verdict != case["verdict"]
    print(verdict)
print("vectors", len(cases), "wrong", wrong)

state = 12345


def draw(low, high):
    global state
    state = (state * 1103515245 + 12345) & 0x7FFFFFFF
    return low + (state >> 8) % (high - low + 1)


for _ in range(40):
    tasks = []
    for _ in range(draw(1, 4)):
        period = draw(2000, 100000)
        budget = draw(1, period // 3)
        tasks.append((budget, period, draw(budget, period), draw(1, budget)))
    tasks = inflate(tasks, draw(0, 900), draw(0, 60), draw(0, 2000), 250000)
    verdict = admit(tasks)
    print(tuple(verdict), [op_limit(tasks, i) for i in range(len(tasks))])
