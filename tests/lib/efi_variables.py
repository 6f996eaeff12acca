"""The variables of OVMF, as its flash holds them: some are set before any firmware has run. The format is EDK II's (Guid/VariableFormat.h,
Guid/AuthenticatedVariableFormat.h): behind the headers of volume and store, one variable after the other, then erased flash."""

import struct
import uuid

# Debian's OVMF with the keys that machines are sold with: Microsoft's, and those of one who makes machines.
SOLD = "/usr/share/OVMF/OVMF_VARS_4M.ms.fd"
STORE = uuid.UUID("aaf32c78-947b-439a-a180-2e144ec37792")
SECURE_BOOT_ENABLE = uuid.UUID("f0a30bc7-af08-4556-99c4-001009c93a44")
SHIM = uuid.UUID("605dab50-e046-4300-abb6-3dd810dd8b23")
STORE_HEADER = struct.Struct("<16sIBBHI")
# Start, state, attributes, count, time, index of a key, sizes of name and data, whose it is.
HEADER = struct.Struct("<HBxIQ16xIII16s")
START, ERASED = 0x55AA, 0xFFFF
ADDED, DELETED = 0x3F, 0x3C
KEPT, BOOT_SERVICES = 1, 2


def _aligned(size):
    return size + 3 & ~3


def _walk(flash):
    """Where variables begin, with their header's fields and name; at last where the next one goes, with None."""
    at = struct.unpack_from("<H", flash, 48)[0]
    guid, *_ = STORE_HEADER.unpack_from(flash, at)
    if uuid.UUID(bytes_le=guid) != STORE:
        raise SystemExit("efi_variables: not a store of authenticated variables")
    at += STORE_HEADER.size
    while struct.unpack_from("<H", flash, at)[0] != ERASED:
        start, state, _, _, _, size, data, owner = HEADER.unpack_from(flash, at)
        if start != START:
            raise SystemExit(f"efi_variables: no variable at {at}")
        name = flash[at + HEADER.size:at + HEADER.size + size].decode("utf-16-le").rstrip("\0")
        yield at, (state, uuid.UUID(bytes_le=owner), name)
        at = _aligned(at + HEADER.size + size + data)
    yield at, None


def put(flash, name, owner, attributes, data):
    """The flash with this variable, in place of the one that had its name."""
    flash = bytearray(flash)
    *old, (at, _) = _walk(flash)
    for place, found in old:
        if found == (ADDED, owner, name):
            flash[place + 2] = DELETED
    name = f"{name}\0".encode("utf-16-le")
    variable = HEADER.pack(START, ADDED, attributes, 0, 0, len(name), len(data), owner.bytes_le) + name + data
    if set(flash[at:at + len(variable)]) != {0xFF}:
        raise SystemExit("efi_variables: no room")
    flash[at:at + len(variable)] = variable
    return bytes(flash)


def sold():
    """Firmware as it is sold: Secure Boot is on."""
    with open(SOLD, "rb") as file:
        return file.read()


def with_secure_boot_off(flash):
    """As its setup does it."""
    return put(flash, "SecureBootEnable", SECURE_BOOT_ENABLE, KEPT | BOOT_SERVICES, b"\0")


def with_machine_owner_keys(flash, keys):
    """As MokManager leaves it: a list of signatures that shim alone can read and write."""
    return put(flash, "MokList", SHIM, KEPT | BOOT_SERVICES, keys)
