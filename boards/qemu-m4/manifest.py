# Frozen into the firmware. TACTUS_ROOT is given by host/flash/firmware.py.
module("_boot.py", base_path="$(BOARD_DIR)")
package("protocol", base_path="$(TACTUS_ROOT)", opt=3)
package("tactus", base_path="$(TACTUS_ROOT)/device", opt=3)
