"""Error codes of device/tac_error.h: number, name, the sentence a person reads and what to do about it.

The numbers travel as positive values in SMP replies and in the slot journal, and as negative ones through C.
Every function here takes either sign.
"""

OK = 0
ARGUMENT = 1
SPACE = 2
STATE = 3
FLASH = 4
CORRUPT = 5
NOT_FOUND = 6
PLAN_MAGIC = 16
PLAN_VERSION = 17
PLAN_SIZE = 18
PLAN_KERNEL = 19
PLAN_BOUNDS = 20
PLAN_ARENA = 21
PLAN_PARAM = 22
PKG_FORMAT = 32
PKG_SIGNATURE = 33
PKG_KEY = 34
PKG_DIGEST = 35
PKG_TARGET = 36
PKG_CAPABILITY = 37
PKG_COUNTER = 38
PKG_RAM = 39
PKG_SCHEDULE = 40
PKG_SELFTEST = 41
PKG_TRIAL = 42
PKG_KEYSET = 43
PKG_KEYSET_OLD = 44
PKG_REVOKED = 45
PKG_EXPIRED = 46
PKG_BASE = 47
TRIAL_MISSES = 64
TRIAL_START = 65
TRIAL_OVERRUN = 66
TRIAL_LINK = 67
TRIAL_WATCHDOG = 68
TRIAL_FAULT = 69
BOOT_STOPPED = 80
BOOT_BACK = 81

_REBUILD = "build the package again with this version of the host and send it"

_SLOWER = "lengthen a period or make a model faster, or say what is good enough: [trial] "

# code: (name, sentence, remedy)
TABLE = {
    OK: ("OK", "no error", "nothing to do"),
    ARGUMENT: (
        "ARGUMENT",
        "an argument is outside its range",
        "check the values against protocol/SPEC.md",
    ),
    SPACE: ("SPACE", "it does not fit where it should go", "make it smaller or free space first"),
    STATE: (
        "STATE",
        "not allowed in the present state",
        "look at `status`; finish or undo what is under way first",
    ),
    FLASH: (
        "FLASH",
        "the flash refused a write or an erase",
        "reset the board and try again; if it stays, the flash is worn or wrongly described",
    ),
    CORRUPT: ("CORRUPT", "stored data fails its checksum", "send the package again"),
    NOT_FOUND: (
        "NOT_FOUND",
        "no such slot, task, record or name",
        "look at `status` for what the board has; flash the application's recorded data with it",
    ),
    PLAN_MAGIC: ("PLAN_MAGIC", "a model in the package is not a plan image", _REBUILD),
    PLAN_VERSION: (
        "PLAN_VERSION",
        "a model has a plan format that this engine does not read",
        "build package and firmware from the same version",
    ),
    PLAN_SIZE: ("PLAN_SIZE", "sizes in a plan image disagree", _REBUILD),
    PLAN_KERNEL: (
        "PLAN_KERNEL",
        "a model needs an operator or weight layout that this firmware was built without",
        "update the firmware, or change the model",
    ),
    PLAN_BOUNDS: ("PLAN_BOUNDS", "a plan image points outside itself", _REBUILD),
    PLAN_ARENA: (
        "PLAN_ARENA",
        "a model needs more arena than it was given",
        "make the model smaller, or build for a board with more RAM",
    ),
    PLAN_PARAM: ("PLAN_PARAM", "a plan image holds a parameter out of range", _REBUILD),
    PKG_FORMAT: (
        "PKG_FORMAT",
        "not a package, or its manifest breaks the schema",
        "send the app.tpk that `build` wrote",
    ),
    PKG_SIGNATURE: (
        "PKG_SIGNATURE",
        "the signature does not verify",
        "build and sign the package again; do not edit it afterwards",
    ),
    PKG_KEY: (
        "PKG_KEY",
        "signed by a key that its key set does not name",
        "sign with a key of the key set; `keys show` lists them",
    ),
    PKG_DIGEST: (
        "PKG_DIGEST",
        "a part of the package does not match its digest",
        "send the package again; if it happens again, build it again",
    ),
    PKG_TARGET: (
        "PKG_TARGET",
        "made for another class of board",
        "build with --board naming this board",
    ),
    PKG_CAPABILITY: (
        "PKG_CAPABILITY",
        "needs a CPU feature or a kernel that this board lacks",
        "build for this board, or update its firmware",
    ),
    PKG_COUNTER: (
        "PKG_COUNTER",
        "its security counter is older than the board's",
        "build a version with a counter at least as high as the board's",
    ),
    PKG_RAM: (
        "PKG_RAM",
        "needs more arena than the board gives, or arenas overlap",
        "make the models smaller, or build for a board with more RAM",
    ),
    PKG_SCHEDULE: (
        "PKG_SCHEDULE",
        "the deadlines cannot be guaranteed on this board",
        "lengthen a period or a deadline, lower --speed, or make a model faster",
    ),
    PKG_SELFTEST: (
        "PKG_SELFTEST",
        "a self-test vector gave another answer",
        "build again; if it stays, the firmware's kernels differ from the build's reference",
    ),
    PKG_TRIAL: (
        "PKG_TRIAL",
        "the board was reset during the trial, before the package was confirmed",
        "find out why it was reset, then send the package again and let its trial end",
    ),
    PKG_KEYSET: (
        "PKG_KEYSET",
        "its key set is not signed by enough of the board's root keys",
        "build with the keys whose roots are in this board's firmware, or flash firmware that has them",
    ),
    PKG_KEYSET_OLD: (
        "PKG_KEYSET_OLD",
        "its key set is older than the one this board has confirmed",
        "build again with the newest key set",
    ),
    PKG_REVOKED: (
        "PKG_REVOKED",
        "signed by a key that has been revoked",
        "build again with the newest key",
    ),
    PKG_EXPIRED: (
        "PKG_EXPIRED",
        "its key set has expired",
        "issue a new key set with `keys rotate` and build again",
    ),
    PKG_BASE: (
        "PKG_BASE",
        "the package that a patch changes is not the one this board keeps",
        "send the whole package",
    ),
    TRIAL_MISSES: (
        "TRIAL_MISSES",
        "on trial it missed more deadlines than its manifest allows",
        _SLOWER + "miss_ppm",
    ),
    TRIAL_START: (
        "TRIAL_START",
        "on trial a job began later than its manifest allows",
        _SLOWER + "start_us",
    ),
    TRIAL_OVERRUN: (
        "TRIAL_OVERRUN",
        "on trial more jobs went over their budget than its manifest allows",
        "measure the op times with `bench wcet` and declare them, or raise [trial] overrun_ppm",
    ),
    TRIAL_LINK: (
        "TRIAL_LINK",
        "on trial it left the link without an answer for too long",
        _SLOWER + "link_gap_ms",
    ),
    TRIAL_WATCHDOG: (
        "TRIAL_WATCHDOG",
        "on trial it hung or left no time for the link, and the watchdog reset the board",
        "find the task that takes so long with `bench wcet`, then send a better package",
    ),
    TRIAL_FAULT: (
        "TRIAL_FAULT",
        "on trial a fault or an exception that nobody caught reset the board",
        "read the board's log, and report it with the package: no package should do this",
    ),
    BOOT_STOPPED: (
        "BOOT_STOPPED",
        "the package hung or crashed again and again, so the board does not start it",
        "`update` to a better one, or `rollback`; power off and on tries it once more",
    ),
    BOOT_BACK: (
        "BOOT_BACK",
        "the newer package hung or crashed again and again, so the board went back to this one",
        "send a better package with `update`; `rollback` returns to the newer one as it is",
    ),
}


def name(code: int) -> str:
    """Name of a code without its TAC_ERR_ prefix, `CODE_<n>` for one that is not in the table."""
    row = TABLE.get(abs(code))
    return row[0] if row else "CODE_%d" % abs(code)


def sentence(code: int) -> str:
    """What happened, one line without a full stop."""
    row = TABLE.get(abs(code))
    return row[1] if row else "unknown error code %d" % abs(code)


def remedy(code: int) -> str:
    """What to do about it, one line without a full stop."""
    row = TABLE.get(abs(code))
    return row[2] if row else "use a host version that matches the firmware"
