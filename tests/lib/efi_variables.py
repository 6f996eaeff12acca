"""The variables of OVMF, as its flash holds them: one is added before any firmware has run. The format is EDK II's (Guid/VariableFormat.h,
Guid/AuthenticatedVariableFormat.h): behind the headers of volume and store, one variable after the other, then erased flash."""

import struct
import uuid

# Debian's OVMF with the keys that machines are sold with: Microsoft's, and those of one who makes machines.
SOLD = "/usr/share/OVMF/OVMF_VARS_4M.ms.fd"
STORE = uuid.UUID("aaf32c78-947b-439a-a180-2e144ec37792")
SHIM = uuid.UUID("605dab50-e046-4300-abb6-3dd810dd8b23")
STORE_HEADER = struct.Struct("<16sIBBHI")
# Start, state, attributes, count, time, index of a key, sizes of name and data, whose it is.
HEADER = struct.Struct("<HBxIQ16xIII16s")
START, ADDED, ERASED = 0x55AA, 0x3F, 0xFFFF
KEPT, BOOT_SERVICES = 1, 2


def _aligned(size):
    return size + 3 & ~3


def _end(flash):
    """Where the next variable goes, and where the store ends."""
    at = struct.unpack_from("<H", flash, 48)[0]
    guid, size, *_ = STORE_HEADER.unpack_from(flash, at)
    if uuid.UUID(bytes_le=guid) != STORE:
        raise SystemExit("efi_variables: not a store of authenticated variables")
    end = at + size
    at += STORE_HEADER.size
    while struct.unpack_from("<H", flash, at)[0] != ERASED:
        start, *_, name, data, _ = HEADER.unpack_from(flash, at)
        if start != START:
            raise SystemExit(f"efi_variables: no variable at {at}")
        at = _aligned(at + HEADER.size + name + data)
    return at, end


def add(flash, name, owner, attributes, data):
    """The flash with one more variable."""
    name = f"{name}\0".encode("utf-16-le")
    variable = HEADER.pack(START, ADDED, attributes, 0, 0, len(name), len(data), owner.bytes_le) + name + data
    at, end = _end(flash)
    if at + len(variable) > end:
        raise SystemExit("efi_variables: no room")
    return flash[:at] + variable + flash[at + len(variable):]


def add_machine_owner_keys(flash, keys):
    """As MokManager leaves it: a list of signatures that shim alone can read and write."""
    return add(flash, "MokList", SHIM, KEPT | BOOT_SERVICES, keys)
