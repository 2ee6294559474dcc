# Out-of-tree variant of ports/unix: nothing that needs a library of the system or a submodule.
FROZEN_MANIFEST = $(VARIANT_DIR)/manifest.py
MICROPY_PY_BTREE = 0
MICROPY_PY_FFI = 0
MICROPY_PY_SSL = 0
MICROPY_SSL_MBEDTLS = 0
MICROPY_VFS_FAT = 0
CFLAGS += -I$(TOP)
