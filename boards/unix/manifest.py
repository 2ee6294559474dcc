# Frozen into the executable. TACTUS_ROOT is given by host/flash/firmware.py.
package("protocol", base_path="$(TACTUS_ROOT)", opt=3)
package("tactus", base_path="$(TACTUS_ROOT)/device", opt=3)
